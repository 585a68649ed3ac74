"""Is this code in the training set, and whose is it? Fingerprints, an index of sources, verified matches.

Knows nothing of models, editors or the network (but for the optional Elasticsearch store).
Read first: `attribution.match.attribute`.
"""
