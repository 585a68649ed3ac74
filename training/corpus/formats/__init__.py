"""What a document looks like to the model: code with its tags, issues, commits, notebooks.

Each format is a text and the places in it that stand for special tokens (`MarkedText`), exactly as
StarCoder's training data had them (arXiv 2305.06161, §3 and §5.1). Knows nothing of tokenizers.
Read first: `training.corpus.formats.marked`.
"""
