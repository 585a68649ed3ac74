"""`starcoder-lsp check` and `index`: options to calls, results to text, errors to exit codes.

Decides nothing.
Read first: `attribution.cli.check`.
"""
