"""The HTTP face of the engine: bodies checked, prompts laid out, answers streamed, counters told.

Knows no editor, and nothing of how the engine was loaded.
Read first: `model.serve.server`.
"""
