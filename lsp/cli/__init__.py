"""The command `starcoder-lsp`: options to calls, results to text, errors to exit codes.

Decides nothing that the editor would not decide the same way.
Read first: `lsp.cli.cli`.
"""
