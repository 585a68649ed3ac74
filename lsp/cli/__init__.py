"""The command `starcoder-lsp`: options to calls, results to text, errors to exit codes.

Commands that ask the model go through the same parts as an editor.
Read first: `lsp.cli.cli`.
"""
