"""`starcoder-lsp train` and `eval`: options to calls, errors to exit codes.

Loads no torch before a command needs it.
Read first: `training.cli.cli`.
"""
