"""Model families: what each calls its configuration, its tensors and its special tokens.

Knows no file of weights, no PyTorch and nobody who computes a model. A new family is a new file here.
Read first: `model.families.config`.
"""
