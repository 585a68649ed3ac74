"""The training loop: steps, checkpoints, the log.

Knows nothing of exports and model folders.
Read first: `training.loop.pretrain`.
"""
