"""The stages of a build and where their tasks run.

Knows no filter by itself.
Read first: `training.corpus.stages.tasks`.
"""
