"""What the user has set, where it was set, and which files are excluded.

Knows no document and no engine.
Read first: `lsp.settings.settings`.
"""
