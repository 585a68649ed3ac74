"""An index of sources: what every store promises, and the stores themselves.

Knows nothing of matches, and of where documents come from.
Read first: `attribution.store.contract`.
"""
