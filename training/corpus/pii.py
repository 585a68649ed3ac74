"""Replaces e-mail addresses, public IP addresses and recognisable keys.

Rules as in StarCoder's preprocessing (arXiv 2305.06161, §4.3): `<EMAIL>`, `<KEY>`, and for an IP
one of five fixed private addresses, the same value always by the same replacement within a file.
An IP must parse, be public, and not be a well-known DNS server or part of a version number.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable

IPV4_REPLACEMENTS = ("172.16.31.10", "172.16.58.3", "172.16.17.32", "192.168.127.12", "192.168.3.11")
IPV6_REPLACEMENTS = (
    "fd00:c2b6:b24b:be67:2827:688d:e6a1:6a3b",
    "fd00:a516:7c1b:17cd:6d81:2137:bd2a:2c5b",
    "fc00:e968:6179::de52:7100",
    "fc00:db20:35b:7399::5",
    "fdf8:f53e:61e4::18",
)
PUBLIC_DNS = frozenset(
    {
        *("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "76.76.19.19", "76.223.122.150", "9.9.9.9"),
        *("149.112.112.112", "208.67.222.222", "208.67.220.220", "8.26.56.26", "8.20.247.20"),
        *("94.140.14.14", "94.140.15.15"),
    }
)
# Reserved for documentation (RFC 2606): nobody's address, and what good examples use.
_EXAMPLE_DOMAINS = re.compile(
    r"@(?:[\w.-]+\.)?(?:example\.(?:com|org|net)|[\w.-]*\.(?:test|invalid|localhost|example))$"
)
_EMAIL = re.compile(
    r"(?<![\w.+%/:-])[A-Za-z0-9][\w.+%-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w@:/-]|\.\w)"
)
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,7}(?![\w:])")
# Four numbers with dots are also version and section numbers; the text just before says so.
_VERSION_BEFORE = re.compile(
    r"(?:version|ver|v|release|section|chapter|clause|§|@|==|>=|<=|~=|\^)[\s\"'=:(]*$", re.IGNORECASE
)
# (texts of which one is in every match: most files need no search at all, pattern)
_KEYS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = (
    (("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), re.compile(r"\bgh[pousr]_[0-9A-Za-z]{36,}\b")),
    (("github_pat_",), re.compile(r"\bgithub_pat_[0-9A-Za-z_]{60,}\b")),
    (("xox",), re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{10,}")),
    (("AIza",), re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    (("k_live_",), re.compile(r"\b[sr]k_live_[0-9A-Za-z]{16,}\b")),
    ((".eyJ",), re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")),
    (
        ("PRIVATE KEY-----",),
        re.compile(r"(?<=-----)[A-Za-z0-9+/=\s\\\"',]{100,}(?=-----END (?:[A-Z]+ )*PRIVATE KEY-----)"),
    ),
)


def redact(text: str) -> tuple[str, Counter[str]]:
    """The text without personal data, and how many of each kind (`email`, `ip`, `key`) were replaced."""
    found: Counter[str] = Counter()
    for hints, pattern in _KEYS:
        if any(hint in text for hint in hints):
            text, count = pattern.subn("<KEY>", text)
            found["key"] += count
    if "@" in text:
        text = _EMAIL.sub(lambda match: _email(match, found), text)
    text = _replace_ips(text, _IPV4, IPV4_REPLACEMENTS, found)
    text = _replace_ips(text, _IPV6, IPV6_REPLACEMENTS, found)
    return text, +found


def _email(match: re.Match[str], found: Counter[str]) -> str:
    if _EXAMPLE_DOMAINS.search(match.group()):
        return match.group()
    found["email"] += 1
    return "<EMAIL>"


def _replace_ips(text: str, pattern: re.Pattern[str], private: tuple[str, ...], found: Counter[str]) -> str:
    """Replace public addresses, the n-th distinct one of the file by the n-th private one (cyclic)."""
    chosen: dict[str, str] = {}

    def replacement(match: re.Match[str]) -> str:
        address = match.group()
        if not is_public_ip(address) or _VERSION_BEFORE.search(
            text, max(0, match.start() - 24), match.start()
        ):
            return address
        found["ip"] += 1
        return chosen.setdefault(address, private[len(chosen) % len(private)])

    substitute: Callable[[re.Match[str]], str] = replacement
    return pattern.sub(substitute, text)


def is_public_ip(address: str) -> bool:
    """Whether the text parses as an IP that could be somebody's: global, and no well-known DNS server."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_global and not parsed.is_multicast and address not in PUBLIC_DNS
