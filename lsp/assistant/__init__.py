"""Questions about code: what the model is told, and the change that its answer makes.

Knows the protocol of no editor.
Read first: `lsp.assistant.assistant`.
"""
