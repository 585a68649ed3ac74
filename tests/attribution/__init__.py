"""Tests of `attribution/`."""
