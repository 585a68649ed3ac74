"""E-mail and IP addresses that can be somebody's.

An IP must parse, be public, and not be a well-known DNS server or part of a version number:
BigCode's rules, of which one is that `1.2.3.4` with single digits is a version unless `dns` or
`server` stands near it. Left alone, unlike there: addresses reserved for examples (RFC 2606), and
`git@host:path`, which names a machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from training.corpus.pii.finding import Finding, PiiKind

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
# Ends of file names and of attributes, not of domains: `icon@2x.png`, `self@ctx.value`.
_NOT_DOMAINS = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|css|js|ts|py|html|json|md)$", re.IGNORECASE)
_EMAIL = re.compile(
    r"(?:(?<=mailto:)|(?<![\w.+%/:-]))[A-Za-z0-9][\w.+%-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w@:/-]|\.\w)"
)
# Found fast, and part of every address of the kind.
_IPV4_HINT = re.compile(r"\.\d{1,3}\.\d")
_IPV6_HINT = re.compile(r":[0-9A-Fa-f]{0,4}:")
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,7}(?![\w:])")
# Four numbers with dots are also version and section numbers; the text just before says so.
_VERSION_BEFORE = re.compile(
    r"(?:version\w*|(?<![a-z])(?:ver|v|release|section|chapter|clause)|§)[\s\"'=:(]*$"
    r"|[\w\])](?:==|>=|<=|~=)$|\^$",
    re.IGNORECASE,
)
_SINGLE_DIGITS = len("1.2.3.4")
_NEAR_CHARS = 100
# Versions have no part that large.
_AFTER_AT_MIN = 100


def find_emails(text: str) -> Iterator[Finding]:
    """Addresses of people and organisations."""
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        if not _EXAMPLE_DOMAINS.search(match.group()) and not _NOT_DOMAINS.search(match.group()):
            yield Finding(kind=PiiKind.EMAIL, start=match.start(), end=match.end())


def find_ips(text: str) -> Iterator[Finding]:
    """Public IPv4 and IPv6 addresses."""
    for hint, pattern in ((_IPV4_HINT, _IPV4), (_IPV6_HINT, _IPV6)):
        if hint.search(text) is None:
            continue
        for match in pattern.finditer(text):
            if is_public_ip(match.group()) and not _is_version(text, match):
                yield Finding(kind=PiiKind.IP, start=match.start(), end=match.end())


def is_public_ip(address: str) -> bool:
    """Whether the text parses as an IP that could be somebody's: global, and no well-known DNS server."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_global and not parsed.is_multicast and address not in PUBLIC_DNS


def _is_version(text: str, match: re.Match[str]) -> bool:
    if _VERSION_BEFORE.search(text, max(0, match.start() - 24), match.start()):
        return True
    if text[match.start() - 1 : match.start()] == "@":  # package@1.2.3.4, or user@91.198.174.192
        return ":" not in match.group() and max(map(int, match.group().split("."))) < _AFTER_AT_MIN
    if match.end() - match.start() != _SINGLE_DIGITS or ":" in match.group():
        return False
    near = text[max(0, match.start() - _NEAR_CHARS) : match.end() + _NEAR_CHARS].lower()
    return "dns" not in near and "server" not in near
