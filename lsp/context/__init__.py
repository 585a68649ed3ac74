"""What the engine is asked: the window around the cursor, excerpts of other places, how far to go.

Knows nothing of tokens and of what becomes of the answer.
Read first: `lsp.context.query`.
"""
