"""From documents to the tokens of a sample: tokenizer, packing, mixture, fill-in-the-middle.

Knows neither model nor optimizer.
Read first: `training.data.packing`.
"""
