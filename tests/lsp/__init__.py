"""Tests of `lsp`."""
