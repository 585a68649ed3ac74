"""The attribution benchmark: build, disk, latency and answers, of both stores and of full-text search."""
