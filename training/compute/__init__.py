"""What a run computes with: processes, precision, optimizers, sharding, adapters.

Knows neither data nor the loop.
Read first: `training.compute.distributed`.
"""
