"""Whole jobs: pretrain, fine-tune, export, publish, with the cards and indexes that belong to a model.

Read first: `training.jobs.runs`.
"""
