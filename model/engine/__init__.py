"""Requests in, tokens out: scheduling, the cache of keys and values, drafts, the step loop.

Knows neither HTTP nor how a model is computed.
Read first: `model.engine.engine`.
"""
