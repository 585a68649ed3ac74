"""The exception tree of `training.corpus`: every message names the value and the remedy."""

from __future__ import annotations


class CorpusError(Exception):
    """Base of everything this package raises on bad input or a bad environment."""


class ManifestError(CorpusError):
    """A corpus manifest that is missing, malformed or names a licence we do not train on."""


class FetchError(CorpusError):
    """A package client is missing or could not deliver the pinned file."""


class IntegrityError(CorpusError):
    """A file whose contents are not what the manifest pins (hash or licence)."""
