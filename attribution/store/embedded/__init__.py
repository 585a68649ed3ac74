"""The index on one disk: a SQLite catalogue and checked segments of postings.

Knows nothing of the other store.
Read first: `attribution.store.embedded.reader`.
"""
