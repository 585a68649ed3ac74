"""The engine against its peers: prefill, decode, keystroke, batches, cold start and memory.

Same weights, same prompts, same threads, in turns. `python -m benchmarks.engine --help`.
"""
