"""Personal data: found by kind, and replaced by StarCoder's rules (arXiv 2305.06161, §4)."""
