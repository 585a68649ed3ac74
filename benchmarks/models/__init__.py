"""How good models are here: infilling and programs by our engine, beside llama.cpp on the same file.

`python -m benchmarks.models MODEL… --data FOLDER [--docs]`. What is measured of one model is in
`benchmarks.models.measure`; how it is scored, in `training.evaluate`.
"""
