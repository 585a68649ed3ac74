"""Questions about code: what is said to the model, and the change of the code that an answer is.

Knows the protocol of no editor.
Read first: `lsp.assistant.assistant`.
"""
