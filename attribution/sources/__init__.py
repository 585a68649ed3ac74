"""From what a user names to documents with their repository, revision and licence.

Knows no fingerprints and no store.
Read first: `attribution.sources.ingest`.
"""
