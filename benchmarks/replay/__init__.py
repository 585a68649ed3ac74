"""A session at the keyboard: what is typed, key by key, and how long engines take to answer each key.

`python -m benchmarks.replay` drives our engine's process beside llama.cpp's server; `benchmarks.keystroke`
types the same way into our engine and transformers. Read first: `benchmarks.replay.session`.
"""
