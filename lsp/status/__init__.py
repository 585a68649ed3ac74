"""What is told about completions (the state, latencies, speeds), who hears it, and a thread for slow work.

Decides nothing.
Read first: `lsp.status.status`.
"""
