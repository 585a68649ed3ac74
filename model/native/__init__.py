"""The compiled linear layers and decode step of the CPU, where they were built at install.

Without them the engine runs the same model through PyTorch. `library` finds the variant for this CPU,
`linear` wraps a layer, `step` the whole model. Knows nothing of `model.pytorch`.
Read first: `model.native.runner`, then `step.cpp`.
"""
