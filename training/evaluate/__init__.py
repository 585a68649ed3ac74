"""How good a model is: held-out loss, infilling, programs that pass their tests, and the report of it all.

Knows nothing of how the model was trained.
Read first: `training.evaluate.measure`.
"""
