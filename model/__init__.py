"""A GPTBigCode (StarCoder) language model: weights, tokenizer, prompts, engine and its HTTP face.

Nothing is imported here, so that `model.client`, `model.process`, `model.hub` and the other
torch-free modules can be used without loading torch. Knows nothing about editors or the LSP.
"""
