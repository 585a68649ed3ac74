"""Benchmarks of curating a corpus."""
