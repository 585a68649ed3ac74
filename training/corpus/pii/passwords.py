"""Passwords: in addresses (`scheme://user:password@host`), and assigned to a name that says so.

BigCode found them with a trained model that may not be passed on; these are rules, hence careful:
a value must stand in quotes (or after `:` or `=` to the end of a line of a settings file), and be
neither a placeholder nor a word for a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from training.corpus.pii.finding import Finding, PiiKind

_MIN_CHARS = 4  # BigCode: a secret has more than three characters
_HINTS = ("password", "passwd", "passphrase", "pwd", "secret")
_PASS = re.compile(r"pass['\"]?\]?\s*[:=]")  # not Python's `pass`
_IN_ADDRESS = re.compile(r"://[^\s/:@'\"<>]{0,64}:([^\s/:@'\"<>]{4,128})@[\w.\[-]")
_ASSIGNED = re.compile(
    r"(?:pass(?:word|wd|phrase)?|pwd|secret)\d?['\"]?\]?\s*(?::\s*str\s*)?(?::=|=>|[:=]=?)\s*[bru]?"
    r"(['\"])([^'\"\n\\]{4,128})\1",
    re.IGNORECASE,
)
# setProperty("password", "…"), name="password" value="…"
_NEXT_TO = re.compile(
    r"(?:(?:set|put|add|with)\w*\(\s*['\"][\w.]*|name\s*=\s*['\"][\w.]*)pass(?:word|wd|phrase)['\"]"
    r"\s*(?:,|value\s*=)\s*(['\"])([^'\"\n\\]{4,128})\1",
    re.IGNORECASE,
)
_CONNECTION = re.compile(r";\s*(?:password|pwd)\s*=\s*([^;'\"\s]{4,128})", re.IGNORECASE)
_SETTING = re.compile(
    r"^[ \t]*(?:export\s+|set\s+|env\s+|-\s+)?[\w.-]*pass(?:word|wd|phrase)[ \t]*[:=][ \t]*"
    r"([^\s'\"#;,{}()\[\]]{4,128})[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_PLACEHOLDER = re.compile(
    r"^(?:[<{$%*#\[(@]|\.\.\.|x{3,}|\*{3,}|-{3,})|[>}\])]$|\$\{|\{\{|%\(|%[sd]\b"
    r"|^(?:your|my|the|some|change|enter|insert|type|dummy|fake|mock|null|none|true|false|undefined|example|test|foo|bar)"
    r"(?:[\W_]|$|me)"
    r"|pass(?:word|wd|phrase|code)?s?$|^secret(?:s|[\W_]key)?$|^(?:string|text|hidden|env|input|placeholder|redacted)$"
    r"|^pass(?:word|wd|phrase)?[\s:.!?]|^(?:self|os|process|config|settings|request|args)\.|\w\(|^\d+\.[\d.]+$",
    re.IGNORECASE,
)
_NO_WORD = re.compile(r"[0-9!@#$%^&*+?~£€§]")
_SENTENCE = re.compile(r"\s\w+\s")


def find_passwords(text: str) -> Iterator[Finding]:
    """Values that are somebody's password, as far as rules can tell."""
    patterns = [(_IN_ADDRESS, 1)] if "://" in text and "@" in text else []
    lowered = text.lower()
    if any(hint in lowered for hint in _HINTS) or _PASS.search(lowered) is not None:
        patterns += [(_ASSIGNED, 2), (_NEXT_TO, 2), (_CONNECTION, 1), (_SETTING, 1)]
    for pattern, group in patterns:
        for match in pattern.finditer(text):
            if is_password(match[group]):
                yield Finding(kind=PiiKind.PASSWORD, start=match.start(group), end=match.end(group))


def is_password(value: str) -> bool:
    """Whether a value in a password's place is one: no placeholder, reference, sentence or plain word."""
    if len(value) < _MIN_CHARS or _PLACEHOLDER.search(value) or _SENTENCE.search(value):
        return False
    # Letters alone are a word, a name or a translation far more often than a password.
    return len(set(value)) > 2 and _NO_WORD.search(value) is not None
