"""This user's own things on this machine: sockets, locks, folders, ignored files, processor threads.

Knows nothing of models, prompts or HTTP.
Read first: `model.local.listen`.
"""
