"""Driving a build: documents through fingerprinting, on all cores, into a store.

Called `indexing` because git, ruff and setuptools pass over folders called `build`. Knows no store but
by its contract.
Read first: `attribution.indexing.build`.
"""
