"""The training corpus: sources of any kind in, filtered and deduplicated documents out.

`build_corpus` (`build`) plans the work and runs its stages, on one machine or a cluster; each stage
and each rule has a module of its own. Knows nothing of training.
"""
