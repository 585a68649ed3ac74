"""A recipe: everything that decides a run, as one TOML file and frozen dataclasses.

Knows no tensors. The bundled recipes lie in `training.recipes`.
Read first: `training.recipe.recipe`.
"""
