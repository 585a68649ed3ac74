"""Which messages are taken, and whom each is handed to; one editor window with all its parts.

Handlers only translate: what is suggested, answered or looked up is decided in other rooms.
Read first: `lsp.server.server`.
"""
