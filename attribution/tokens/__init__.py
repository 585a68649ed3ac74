"""Code as tokens, shapes and fingerprints; arrays of them, packed.

Knows neither documents nor stores.
Read first: `attribution.tokens.lexer`.
"""
