"""The training corpus: sources of any kind in, filtered and deduplicated documents out.

Each stage and each rule has a module of its own. Knows nothing of training.
Read first: `training.corpus.build`.
"""
