"""The index on an Elasticsearch cluster.

Knows nothing of the other store.
Read first: `attribution.store.elastic.reader`.
"""
