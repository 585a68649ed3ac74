"""A recipe: everything that decides a run, as one TOML file and frozen dataclasses.

The bundled recipes lie in `training.recipes`. Knows no tensors.
Read first: `training.recipe.recipe`.
"""
