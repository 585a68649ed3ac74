"""What is kept and what is dropped, each with its reason.

Knows neither files nor processes.
Read first: `training.corpus.filters.intake`.
"""
