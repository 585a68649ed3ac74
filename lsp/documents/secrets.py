"""Which lines of a text hold a secret: a private key, a token of a known form, a credential of high entropy.

A light set of detectors, for every keystroke: each looks at one line, so that an edit costs the lines that it
changes. The forms are those of detect-secrets' plugins (private_key, aws, github_token, gitlab_token, slack,
stripe, npm, pypi_token, openai, sendgrid, square_oauth, twilio, telegram, jwt, basic_auth, keyword,
high_entropy_strings) with some newer ones; its limit of entropy for Base64 is taken too. A checksum, a
word or a placeholder is none. Knows neither documents nor what becomes of them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

# A secret without a digit is a key's heading, a password in an address, or long and named; others are either.
_DIGIT = re.compile(r"\d")
_LONG = re.compile(r"[A-Za-z0-9+/=_~-]{16}")
_NAMES = ("pass", "pwd", "secret", "token", "key", "credential", "bearer")
# A key, not a program that compares lines with its heading: nothing, or the key itself, comes after it.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?=\s*$|\s*\\[nr]|\s*[A-Za-z0-9+/]{16})"
    r"|---- BEGIN SSH2 (?:ENCRYPTED )?PRIVATE KEY ----"
    r"|^PuTTY-User-Key-File-\d+:|AGE-SECRET-KEY-1[0-9A-Z]{20,}"
)
_TOKEN = re.compile(
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[0-9A-Za-z]{36,}|\bgithub_pat_[0-9A-Za-z_]{40,}"
    r"|\bgl(?:pat|dt|ptt|rt|cbt|agent|soat|ft)-[0-9A-Za-z_-]{20,}"
    r"|\bxox[abeoprs]-(?:\d+-)+[0-9A-Za-z-]{10,}|hooks\.slack\.com/services/T\w+/B\w+/\w{16,}"
    r"|\b[rs]k_live_[0-9A-Za-z]{16,}|\bAIza[0-9A-Za-z_-]{35}\b|\bya29\.[0-9A-Za-z_-]{20,}"
    r"|\bnpm_[0-9A-Za-z]{36}\b|_authToken=[0-9A-Za-z_/+=-]{16,}|\bpypi-AgEI[0-9A-Za-z_-]{40,}"
    r"|\bsk-(?:ant-|proj-|or-)?[0-9A-Za-z_-]{32,}|\bhf_[0-9A-Za-z]{30,}\b|\bdop_v1_[0-9a-f]{64}\b"
    r"|\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{30,}|\bsq0(?:atp|csp)-[0-9A-Za-z_-]{22,}"
    r"|\b(?:SK|AC)[0-9a-f]{32}\b|\b\d{8,10}:[0-9A-Za-z_-]{35}(?![\w-])|\bshp(?:at|ca|pa|ss)_[0-9a-f]{32}\b"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}|\bhv[sb]\.[0-9A-Za-z_-]{24,}|\bATATT3[0-9A-Za-z_=-]{40,}"
)
_IN_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@'\"<>]*:([^\s/:@'\"<>]+)@[\w\[]", re.IGNORECASE)
# A value given to a name that says what it is, in quotes or to the end of a setting.
_NAMED = re.compile(
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credential|(?:api|access|account|auth|client|private|encryption|"
    r"signing|master|storage|app|shared|consumer|license|deploy|service|admin|root|ssh|aws)[\w.-]{0,12}?key)\w{0,16}"
    r"['\"]?\]?(?:\s{0,32}:\s{0,32}\w+)?\s{0,32}(?:"
    r"(?::=|=>|[:=,(]|\s)\s{0,32}(['\"`])([^\s'\"`]{8,200})\1"
    r"|(?::=|=>|[:=>])\s{0,32}([A-Za-z0-9+/=_~!@#$%^&*-]{12,200})(?:</|[\s,;'\"`]*$))",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\b(?:Bearer|Basic)\s+([A-Za-z0-9+/=_.~-]{20,})")
_QUOTED = re.compile(r"(['\"`])([A-Za-z0-9+/=_-]{32,200})\1")
_PLACEHOLDER = re.compile(
    r"[<{$%*([]|\.\.\.|xxx|example|placeholder|changeme|change[_-]me|your|dummy|redacted|test|sample|(.)\1{5}|\b\w+_id\b|"
    r"^\w+\(|^(?:https?|file)://|1234567|abcdef",
    re.IGNORECASE,
)
_CHECKSUM = re.compile(
    r"sha\d|sha-|md5|hash|digest|checksum|integrity|fingerprint|commit|revision|uuid|guid", re.I
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_NAME = re.compile(
    r"[a-z]+\d?(?:[_./@-]+[a-z]*\d{0,2}[a-z]*)*|[A-Z]?[a-z]+\d?(?:[A-Z][a-z]+\d?)*|[A-Z_]+\d?", re.ASCII
)
# What words have not: six consonants in a row, and where capitals set them together (`getHTMLParser`), often
# several capitals, or a small letter between two.
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}", re.IGNORECASE)
_LEAPS = re.compile(r"(?<=[A-Z])(?:[A-Z]+(?![a-z])|[a-z](?=[A-Z]))")
_MAX_LINE_CHARS = 4_000  # what is longer is data; only its beginning is looked at
# detect-secrets' limit for strings in Base64, and a lower one where the name says what the value is.
_BASE64_BITS, _NAMED_BITS = 4.5, 3.0


def has_secret(line: str) -> bool:
    """Whether a line holds a secret."""
    if not _is_worth_a_look(line):
        return False
    line = line[:_MAX_LINE_CHARS].rstrip()
    if _PRIVATE_KEY.search(line) or any(_is_token(match[0]) for match in _TOKEN.finditer(line)):
        return True
    values = [match[1] for match in _IN_ADDRESS.finditer(line)]
    if any(_is_password(value) for value in values):
        return True
    named = [match[2] or match[3] for match in _NAMED.finditer(line)]
    named += [match[1] for match in _HEADER.finditer(line)]
    if any(_is_random(value, min_bits=_NAMED_BITS) or _is_gibberish(value) for value in named):
        return True
    if _CHECKSUM.search(line) is not None:
        return False
    return any(_is_random(match[2], min_bits=_BASE64_BITS) for match in _QUOTED.finditer(line))


def _is_worth_a_look(line: str) -> bool:
    """Whether a line may hold one: all but a few need no more than this."""
    if "PRIVATE KEY" in line or "://" in line:
        return True
    has_digit, is_long = _DIGIT.search(line) is not None, _LONG.search(line) is not None
    if not (has_digit or is_long):
        return False
    if has_digit and is_long:
        return True
    lowered = line.lower()
    return any(name in lowered for name in _NAMES)


class SecretLines:
    """Which lines of a text hold a secret, kept up to date edit by edit."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._flags = bytearray(map(has_secret, lines))

    @property
    def first(self) -> int | None:
        """The first line that does, counted from 0; None if none does."""
        at = self._flags.find(1)
        return None if at < 0 else at

    def replace(self, start_line: int, removed_lines: int, added: Sequence[str]) -> None:
        """Lines were replaced."""
        self._flags[start_line : start_line + removed_lines] = bytearray(map(has_secret, added))


def entropy_bits(text: str) -> float:
    """Shannon's entropy of the characters, in bits a character."""
    n_chars = len(text)
    return -sum(count / n_chars * math.log2(count / n_chars) for count in Counter(text).values())


def _is_harmless(value: str) -> bool:
    return _PLACEHOLDER.search(value) is not None


def _is_token(value: str) -> bool:
    """Whether what has the form of a token is one, no name of a class in a style sheet (`sk-…`)."""
    return not _is_harmless(value) and (_DIGIT.search(value) is not None or _is_gibberish(value))


def _is_gibberish(value: str) -> bool:
    """Whether a long value of letters alone looks drawn."""
    letters = re.sub("[^A-Za-z]", "", value)
    if len(letters) < 16 or _DIGIT.search(value) or _is_harmless(value) or "/" in value or "." in value:
        return False
    is_mixed = not letters.islower() and not letters.isupper()
    if is_mixed:
        return len(_LEAPS.findall(letters)) >= 3
    return _CONSONANTS.search(letters) is not None


def _is_password(value: str) -> bool:
    """Whether what stands for a password in an address is one, no variable and no word for it."""
    return len(value) >= 4 and not _is_harmless(value) and value.lower() not in ("pass", "password", "passwd")


def _is_random(value: str, *, min_bits: float) -> bool:
    """Whether a value looks drawn rather than written: letters and digits mixed, no word, path or name."""
    if _is_harmless(value) or _UUID.fullmatch(value) or _NAME.fullmatch(value):
        return False
    has_both = any(char.isdigit() for char in value) and any(char.isalpha() for char in value)
    return has_both and value.count("/") * 6 <= len(value) and entropy_bits(value) >= min_bits
