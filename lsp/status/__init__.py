"""What is told about completions: the state, the latency book, speeds; and the thread for slow work.

Decides nothing.
Read first: `lsp.status.status`.
"""
