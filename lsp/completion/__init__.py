"""The pipeline of a completion, from a cursor to items: running answers, typing through, confidence.

Knows the protocol of no editor.
Read first: `lsp.completion.completion`.
"""
