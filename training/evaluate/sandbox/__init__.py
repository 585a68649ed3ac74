"""Running programs that a model wrote: isolated, limited, and believed only when they finish their tests.

Knows neither models nor problems.
Read first: `training.evaluate.sandbox.pool`.
"""
