"""`make demo`: a small editor in the terminal, typing a real file against the real language server.

Knows the server only by its messages.
Read first: `lsp.demo.__main__`.
"""
