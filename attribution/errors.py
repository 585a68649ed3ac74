"""The exception tree of `attribution/`.

Every message names the offending value and the remedy. `attribution.cli.check` turns these into exit
codes and the language server into messages; nothing in between does.
"""

from __future__ import annotations


class AttributionError(Exception):
    """Base of everything this package raises on bad input or a bad environment."""


class IndexMissingError(AttributionError):
    """There is no index where one was expected."""


class IndexFormatError(AttributionError):
    """An index of another format version or of other parameters, or something that is no index."""


class IndexBusyError(AttributionError):
    """Another process is writing to the index."""


class IndexDamagedError(AttributionError):
    """A file of the index is missing, truncated or altered."""


class IndexUnavailableError(AttributionError):
    """A remote index cannot be reached, refuses us, or is of an unsupported version."""


class SourceError(AttributionError):
    """A source that cannot be read: no such file, a broken archive, columns that are missing."""


class ExpressionError(AttributionError):
    """A licence expression that cannot be understood."""


class PortraitError(AttributionError):
    """A portrait file that is missing, truncated or of another version."""


class PolicyError(AttributionError):
    """A policy file that cannot be read or says what it must not."""


class InputError(AttributionError):
    """Something to check that cannot be read: no such file, or an encoding that nobody knows."""
