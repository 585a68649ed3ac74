"""Attribution in an editor window: what is looked up, when, and how it is said.

Knows nothing of fingerprints and stores: `attribution` does.
Read first: `lsp.sources.attribution`.
"""
