"""What the language server uses to ask a completion server, ours or another's, over HTTP.

Knows no editor, and starts nothing.
Read first: `model.client.client`.
"""
