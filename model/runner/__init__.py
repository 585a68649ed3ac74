"""What the engine asks of whatever computes a model, and how a token is chosen from its logits.

Knows neither PyTorch nor compiled code.
Read first: `model.runner.runner`.
"""
