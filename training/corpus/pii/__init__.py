"""Personal data: found by kind, and replaced by StarCoder's rules (arXiv 2305.06161, §4).

Knows neither documents' sources nor what becomes of them.
Read first: `training.corpus.pii.redact`.
"""
