"""Published models that are known to work: where they come from, which are here, which suits a machine.

Knows neither how a model is computed nor what is asked of it.
Read first: `model.catalogue.published`.
"""
