"""The language server: its messages, one editor window, and the parts that answer it.

Handlers only translate; other rooms decide what is suggested, answered or looked up.
Read first: `lsp.server.server`.
"""
