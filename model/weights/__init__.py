"""A model as it lies on disk or on the hub: its name, shape, tensors and licence.

Computes nothing and imports no PyTorch.
Read first: `model.weights.config`.
"""
