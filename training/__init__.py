"""Data, training and evaluation: from source packages to a checkpoint that `model/` loads.

Knows nothing about editors.
Read first: `training.jobs.runs`.
"""
