"""The engine process of this user and model: found, started, replaced.

Knows nothing of what the engine computes.
Read first: `model.process.process`.
"""
