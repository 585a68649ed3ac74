"""Whole jobs: pretrain, fine-tune, export, publish, with the cards and indexes that belong to a model.

Knows nothing of commands and options.
Read first: `training.jobs.runs`.
"""
