"""GGUF files, the format of llama.cpp: what they say of themselves, their tensors, and floats out of codes.

Knows no model family, no tokenizer and nobody who computes a model; imports NumPy and nothing heavier.
Read first: `model.gguf.files`.
"""
