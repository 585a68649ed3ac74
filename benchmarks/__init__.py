"""Measurements against other programs, always interleaved with them in one run."""
