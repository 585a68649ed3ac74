"""The index on one disk: a SQLite catalogue and memory-mapped segments of postings.

Knows nothing of the other store.
Read first: `attribution.store.embedded.reader`.
"""
