"""From a model and a set to figures: infilling, pass@k, perplexity, loss.

Knows nothing of reports.
Read first: `training.evaluate.scoring.scoring`.
"""
