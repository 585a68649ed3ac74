"""The way to the engine: which one answers, and how it is found again when it is lost.

Knows no documents and no prompts.
Read first: `lsp.link.engine_link`.
"""
