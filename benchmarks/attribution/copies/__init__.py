"""Planted copies in six languages, and code that is none: recall by disguise, and precision."""
