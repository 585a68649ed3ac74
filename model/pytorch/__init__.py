"""A model in PyTorch: modules, attention, quantisation, checkpoints. Inference and training share it.

Knows no requests, no prompts and nothing of `model.native`.
Read first: `model.pytorch.causal_lm`.
"""
