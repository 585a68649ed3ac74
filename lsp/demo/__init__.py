"""`make demo`: a small editor in the terminal, typing a real file against the real language server."""
