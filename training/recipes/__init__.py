"""The bundled recipes, one TOML file a run.

Holds no code: `training.recipe` reads them.
Read first: `training.recipe.recipe`.
"""
