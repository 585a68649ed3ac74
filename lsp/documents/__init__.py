"""Open documents: texts, positions, notebooks, languages, and how fast the user types.

Knows neither settings nor engine.
Read first: `lsp.documents.documents`.
"""
