"""From a model's name to a running engine: what computes it here is chosen, loaded and served.

Nothing else in `model` imports this room.
Read first: `model.start.run`.
"""
