"""From a model and a set to figures: infilling, pass@k, perplexity, loss.

Read first: `training.evaluate.scoring.scoring`.
"""
