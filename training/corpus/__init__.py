"""The training corpus: pinned packages in, filtered and deduplicated documents out.

`fetch_manifest` brings the files of a manifest to this machine with the ordinary package
clients, running none of their code; `build_corpus` turns them into JSONL shards, a report of
every drop by reason, and a list of document hashes. Knows nothing of tokens or training.
"""
