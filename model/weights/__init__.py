"""A model as it lies on disk or on the hub: its name, tensors and licence.

Computes nothing and imports no PyTorch.
Read first: `model.weights.weight_files`.
"""
