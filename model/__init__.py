"""A language model of code: its family, weights, tokenizer, prompts, engine and its HTTP face.

Nothing is imported here nor in the rooms' own `__init__`, so that `model.client`, `model.process`,
`model.families`, `model.weights` and the other torch-free rooms can be used without loading torch.
Knows nothing about editors or the LSP. Read first: `model.engine.engine`.
"""
