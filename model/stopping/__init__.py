"""Where a completion ends: the end of a line, of a block, of a turn, the suffix reached.

Works on text alone, and knows no tokens and no model.
Read first: `model.stopping.stopping`.
"""
