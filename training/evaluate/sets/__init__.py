"""Problems and held-out texts that a model is measured on.

Knows no model.
Read first: `training.evaluate.sets.problems`.
"""
