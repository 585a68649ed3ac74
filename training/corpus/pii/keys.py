"""Keys and tokens, by the plugins of detect-secrets that BigCode used, and what it did around them.

Strings of high entropy must also be gibberish by a model of letter pairs, must not be a hash by
their length and their line, and count in no file that names hashes in more than 2 % of its lines.
A token of a form that only keys have (`ghp_…`, `AKIA…`) needs no such doubt. Nothing is looked up
on a network: the plugins' verification is not used.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from training.corpus.pii.finding import Finding, PiiKind
from training.corpus.pii.gibberish import is_gibberish

_MIN_KEY_CHARS = 9
_ALPHABET_MIN_CHARS = 24
# (module, class) of detect_secrets.plugins; the first group's finds need no further doubt.
_CERTAIN = (
    *(("aws", "AWSKeyDetector"), ("azure_storage_key", "AzureStorageKeyDetector")),
    *(("discord", "DiscordBotTokenDetector"), ("github_token", "GitHubTokenDetector")),
    *(("gitlab_token", "GitLabTokenDetector"), ("jwt", "JwtTokenDetector"), ("npm", "NpmDetector")),
    *(("openai", "OpenAIDetector"), ("pypi_token", "PypiTokenDetector"), ("sendgrid", "SendGridDetector")),
    *(("slack", "SlackDetector"), ("square_oauth", "SquareOAuthDetector"), ("stripe", "StripeDetector")),
)
_DOUBTED = (
    *(("artifactory", "ArtifactoryDetector"), ("cloudant", "CloudantDetector")),
    *(("ibm_cloud_iam", "IbmCloudIamDetector"), ("ibm_cos_hmac", "IbmCosHmacDetector")),
    *(
        ("mailchimp", "MailchimpDetector"),
        ("softlayer", "SoftlayerDetector"),
        ("twilio", "TwilioKeyDetector"),
    ),
)
_ENTROPY = (
    ("high_entropy_strings", "Base64HighEntropyString"),
    ("high_entropy_strings", "HexHighEntropyString"),
)
# Some of this stands in every line in which one of the plugins above finds something: a run of so many
# characters with a digit among them, or a prefix (of Cloudant's keys without a digit its whole name).
_MIN_RUN_CHARS = 20
_PREFIXES = tuple(
    re.compile(prefix)
    for prefix in (
        *(rb"AKC[A-Za-z0-9]{10}", rb"AP[0-9A-F][A-Za-z0-9]{8}", rb"xox[abposr]-", rb"hooks\.slack\.com"),
        *(rb"_authToken=", rb"eyJ", rb"loudant", rb"CLOUDANT"),
    )
)
_RUN_BYTES = np.zeros(256, dtype=bool)
_RUN_BYTES[np.frombuffer(f"{string.ascii_letters}{string.digits}+/=_-".encode(), np.uint8)] = True
_DIGIT = re.compile(rb"[0-9]")
_QUOTED = re.compile(r"['\"][A-Za-z0-9+/\\_=-]{9,}['\"]")
# What neither library knows.
_MORE = (
    (("AIza",), re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    (("github_pat_",), re.compile(r"\bgithub_pat_[0-9A-Za-z_]{60,}\b")),
    (("k_live_",), re.compile(r"\b[sr]k_live_[0-9A-Za-z]{16,}\b")),
    ((":AA",), re.compile(r"\b\d{8,10}:AA[0-9A-Za-z_-]{33}(?![\w-])")),  # Telegram
    ((".eyJ",), re.compile(r"\b[ps]k\.eyJ[\w-]{20,}\.[\w-]{20,}")),  # Mapbox
    # detect-secrets stops before the signature.
    ((".eyJ",), re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")),
    (
        ("PRIVATE KEY-----",),
        re.compile(r"(?<=-----)[A-Za-z0-9+/=\s\\\"',]{100,}(?=-----END (?:[A-Z]+ )*PRIVATE KEY-----)"),
    ),
)
# Ours: a value given to a name that says what it is, quoted or to the end of a setting or header. Strings
# of 20 to 40 characters have too little entropy for the plugins.
_ASSIGNED = re.compile(
    r"(?:api|access|auth|client|secret|private|consumer|bearer|app|encryption|signing)[\w-]{0,12}?"
    r"(?:key|token|secret)['\"]?\]?\s*(?::=|=>|[:=,])\s*['\"]?([A-Za-z0-9+/=_-]{16,128})(?=['\"\s;]|$)"
    r"|\bbearer\s+([A-Za-z0-9+/=_-]{16,128})(?=['\"\s;]|$)",
    re.IGNORECASE,
)
_ID_BEFORE = re.compile(r"(?:\b|_)(?:id|uuid|guid)s?['\"]?\s*[:=]\s*['\"]?$", re.IGNORECASE)
_HASH_CHARS = frozenset({32, 40, 64})
_HASH_WORDS = ("sha", "md5", "hash", "byte", "checksum", "digest", "integrity")
_HASH_LINES_SHARE = 0.02


def find_keys(text: str) -> Iterator[Finding]:
    """Every place of every key found; a key that stands in several places is found in each."""
    for hints, pattern in _MORE:
        if any(hint in text for hint in hints):
            for match in pattern.finditer(text):
                yield Finding(kind=PiiKind.KEY, start=match.start(), end=match.end())
    for value in sorted(_values(text)):
        for match in re.finditer(re.escape(value), text):
            yield Finding(kind=PiiKind.KEY, start=match.start(), end=match.end())


def _values(text: str) -> set[str]:
    plugins = _plugins()
    found: set[str] = set()
    doubted: set[str] = set()
    for line in _hinted_lines(text):
        found |= {value for plugin in plugins.certain for value in _secrets(plugin, line)}
        doubted |= {value for plugin in plugins.doubted for value in _secrets(plugin, line)}
        doubted |= set(_assigned(line))
    for line in _quoted_lines(text):
        doubted |= {
            value
            for plugin in plugins.entropy
            for value in _secrets(plugin, line)
            if plugin.calculate_shannon_entropy(value) > plugin.entropy_limit
        }
    doubted = {value for value in doubted - found if is_gibberish(value) and not _is_hash(text, value)}
    return found if not doubted or _names_hashes(text) else found | doubted


def _hinted_lines(text: str) -> Iterator[str]:
    """The lines in which a plugin may find something, each once."""
    data = text.encode("utf-8", errors="surrogatepass")
    places = [*_long_runs(data), *(match.start() for p in _PREFIXES for match in p.finditer(data))]
    at = 0
    for place in sorted(places):
        if place < at:
            continue  # of a line that was had before
        start, end = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place)
        at = len(data) if end < 0 else end + 1
        yield data[start:at].decode("utf-8", errors="surrogatepass").rstrip("\n")


def _long_runs(data: bytes) -> Iterator[int]:
    """Where runs begin that a key can stand in."""
    is_run = np.zeros(len(data) + 2, dtype=bool)
    is_run[1:-1] = _RUN_BYTES[np.frombuffer(data, dtype=np.uint8)]
    edges = np.flatnonzero(is_run[1:] != is_run[:-1])  # starts and ends in turn
    long = edges[1::2] - edges[::2] >= _MIN_RUN_CHARS
    for start, end in zip(edges[::2][long].tolist(), edges[1::2][long].tolist(), strict=True):
        if _DIGIT.search(data, start, end) is not None:
            yield start


def _quoted_lines(text: str) -> Iterator[str]:
    """The lines with a quoted word that a key can be, each once."""
    at = 0
    while (match := _QUOTED.search(text, at)) is not None:
        start = text.rfind("\n", 0, match.start()) + 1
        end = text.find("\n", match.start())
        at = len(text) if end < 0 else end + 1
        yield text[start : end if end >= 0 else None]


def _secrets(plugin: Any, line: str) -> Iterator[str]:
    """What a plugin finds in a line and the heuristics that BigCode kept let pass."""
    for value in _raw_secrets(plugin, line):
        if len(value) >= _MIN_KEY_CHARS and not _is_harmless(value, line, plugin):
            yield value


def _assigned(line: str) -> Iterator[str]:
    for match in _ASSIGNED.finditer(line):
        value = match[1] or match[2]
        if _is_mixed(value) and not _is_harmless(value, line, None):
            yield value


def _is_mixed(value: str) -> bool:
    return any(char.isdigit() for char in value) and any(char.isalpha() for char in value)


def _is_alphabet(value: str) -> bool:
    """Whether no character comes twice: of 24 random ones two are alike with p = .99."""
    return len(value) >= _ALPHABET_MIN_CHARS and len(set(value)) == len(value)


def _is_harmless(value: str, line: str, plugin: Any) -> bool:
    from detect_secrets.filters import heuristic

    if not hasattr(plugin, "denylist") and (
        _is_alphabet(value) or _ID_BEFORE.search(line, 0, line.find(value))
    ):
        return True
    return bool(
        heuristic.is_templated_secret(value)
        or heuristic.is_potential_uuid(value)
        or heuristic.is_sequential_string(value)
        or heuristic.is_likely_id_string(value, line, plugin)
    )


def _raw_secrets(plugin: Any, line: str) -> Iterator[str]:
    """A plugin's own answer to `ghp_…` is `ghp`, a group of its pattern: take all of the match then."""
    if not hasattr(plugin, "denylist"):
        yield from plugin.analyze_string(line)
        return
    is_valid = getattr(plugin, "is_formally_valid", None)
    for pattern in plugin.denylist:
        for match in pattern.finditer(line):
            groups = [group for group in match.groups() if group and len(group) >= _MIN_KEY_CHARS]
            value = groups[0] if groups else match.group().strip(' \t=:"')
            if is_valid is None or is_valid(value):
                yield value


@dataclass(frozen=True, kw_only=True)
class _Plugins:
    certain: Sequence[Any]  # the library has no types
    doubted: Sequence[Any]
    entropy: Sequence[Any]


@lru_cache(maxsize=1)
def _plugins() -> _Plugins:
    return _Plugins(certain=_made(_CERTAIN), doubted=_made(_DOUBTED), entropy=_made(_ENTROPY))


def _made(names: Sequence[tuple[str, str]]) -> list[Any]:
    return [getattr(import_module(f"detect_secrets.plugins.{module}"), name)() for module, name in names]


def _is_hash(text: str, value: str) -> bool:
    if len(value) not in _HASH_CHARS:
        return False
    at = text.index(value)
    before = text[text.rfind("\n", 0, at) + 1 : at].lower()
    return any(word in before for word in _HASH_WORDS)


def _names_hashes(text: str) -> bool:
    lowered = text.lower()
    most = int(_HASH_LINES_SHARE * lowered.count("\n"))
    return lowered.count("sha") > most or lowered.count("hash") > most
