"""What the pipeline reads and writes: manifests, packages, documents, shards, counts.

Decides nothing about what is kept.
Read first: `training.corpus.records.document`.
"""
