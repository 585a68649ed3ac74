"""What a recipe takes, and whether this machine can: memory, time, parameters. Nothing is trained.

Read first: `training.plan.plan`.
"""
