"""What a recipe takes, and whether this machine can: memory, time, parameters. Nothing is trained.

Knows no training run.
Read first: `training.plan.plan`.
"""
