"""Which licence a text or the head of a source file is: an SPDX expression, or None.

Recognition is by the sentences that only one licence has; what is not recognised is unknown, never guessed.
That a text mentions another licence says nothing: only a licence's own text counts, or a notice that puts
the file under it.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from attribution.errors import ExpressionError
from attribution.sources.spdx import parse

_SPDX_TAG = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]+)")
# Where a file names its licence, if it does.
HEADER_BYTES = 4096
# A header that has none of these says nothing of a licence.
_SIGNS = (b"licen", b"permission ", b"redistribution", b"gpl")
# Marks of comments and of Markdown, quotes and punctuation stand between words as white space does.
_KEPT = b"abcdefghijklmnopqrstuvwxyz0123456789.+"
_TO_WORDS = bytes(code if code in _KEPT else 32 for code in bytes(range(256)).lower())
_RESTRICTIONS = (
    ("commercial", re.compile(r"(?<! or )\bnon ?commercial\b")),
    ("commons clause", re.compile(r"commons clause")),
    ("not evil", re.compile(r"for good not evil")),
)
_CHOICE = re.compile(r"\balternatively\b|\bdual licen[cs]ed\b|\bor (?:the )?mit licen[cs]e")
# What is longer is a licence's text, not a notice that names one.
_NOTICE_WORDS = 400

_LICENCE_FILE = re.compile(r"(?:^|[._-])(?:un)?(?:licen[cs]es?|copying)(?:[._-][\w.-]*)?$", re.IGNORECASE)
_NOTICE_FILE = re.compile(r"(?:^|[._-])notice(?:[._-][\w.-]*)?$", re.IGNORECASE)
_NO_TEXT = (".py", ".js", ".ts", ".json", ".html", ".java", ".go", ".rs", ".c", ".h")
# The licence of one file, beside it (REUSE 3.3, "comment headers"): `logo.png.license`.
_COMPANION = re.compile(r".+\.\w+\.license$", re.IGNORECASE)

# What only the licence's own text says, by families: a literal that it has, a pattern, an identifier. Of a
# family the first that fits counts.
_TEXTS: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (
        (
            "19 november 2007",
            r"gnu affero general public licen[cs]e version 3 19 november 2007",
            "AGPL-3.0-only",
        ),
    ),
    (
        ("gnu lesser", r"gnu lesser general public licen[cs]e version 3 29 june 2007", "LGPL-3.0-only"),
        ("gnu lesser", r"gnu lesser general public licen[cs]e version 2\.1 february 1999", "LGPL-2.1-only"),
        ("gnu library", r"gnu library general public licen[cs]e version 2 june 1991", "LGPL-2.0-only"),
    ),
    (
        ("29 june 2007", r"gnu general public licen[cs]e version 3 29 june 2007", "GPL-3.0-only"),
        ("june 1991", r"gnu general public licen[cs]e version 2 june 1991", "GPL-2.0-only"),
        ("february 1989", r"gnu general public licen[cs]e version 1 february 1989", "GPL-1.0-only"),
    ),
    (
        (
            "mozilla",
            r"mozilla public licen[cs]e v(?:ersion)?\.? ?2\.0 (?:1\. definitions|.{0,40}definitions)",
            "MPL-2.0",
        ),
        ("mozilla", r"terms of the mozilla public licen[cs]e v(?:ersion)?\.? ?2\.0", "MPL-2.0"),
        ("mozilla", r"subject to the mozilla public licen[cs]e version 1\.1", "MPL-1.1"),
    ),
    (
        ("january 2004", r"apache licen[cs]e v(?:ersion)?\.? ?2\.0 january 2004", "Apache-2.0"),
        (
            "apache licen",
            r"under (?:the )?(?:terms of )?(?:the )?apache licen[cs]e v(?:ersion)?\.? ?2(?:\.0)?",
            "Apache-2.0",
        ),
        ("apache software licen", r"apache software licen[cs]e version 1\.1", "Apache-1.1"),
    ),
    (
        ("eclipse public", r"eclipse public licen[cs]e v(?:ersion)?\.? ?2\.0", "EPL-2.0"),
        ("eclipse public", r"eclipse public licen[cs]e v(?:ersion)?\.? ?1\.0", "EPL-1.0"),
    ),
    (("boost software", r"boost software licen[cs]e v(?:ersion)?\.? ?1\.0", "BSL-1.0"),),
    (("cc0 1.0 universal", r"cc0 1\.0 universal", "CC0-1.0"),),
    (
        (
            "unencumbered software",
            r"this is free and unencumbered software released into the public domain",
            "Unlicense",
        ),
        ("the unlicense", r"licen[cs]ed under the unlicense", "Unlicense"),
    ),
    (("python software foundation", r"python software foundation licen[cs]e version 2", "PSF-2.0"),),
    (("altered source", r"altered source versions must be plainly marked as such", "Zlib"),),
    (
        (
            "neither the name",
            r"neither the names? .{0,200}? may be used to endorse or promote",
            "BSD-3-Clause",
        ),
        (
            "in binary form",
            r"redistributions? in binary form must reproduce (?:the above|all) copyright notices?",
            "BSD-2-Clause",
        ),
    ),
    (
        (
            "permission to use",
            r"permission to use copy modify and( or)? distribute this software for any purpose with or "
            r"without fee is hereby granted provided",
            "ISC",
        ),
        (
            "permission to use",
            r"permission to use copy modify and( or)? distribute this software for any purpose with or "
            r"without fee is hereby granted\.",
            "0BSD",
        ),
    ),
    (
        (
            "permission is hereby",
            r"permission is hereby granted free of charge to any person obtaining a copy.{0,900}"
            r"shall be (?:included|retained)",
            "MIT",
        ),
        (
            "permission is hereby",
            r"permission is hereby granted free of charge to any person obtaining a copy",
            "MIT-0",
        ),
        (
            "mit licen",
            r"(?:licen[cs]ed|released|distributed|available|published) under (?:the )?(?:terms of )?(?:the )?"
            r"mit licen[cs]e",
            "MIT",
        ),
        (" mit", r"(?:or|and) (?:the )?mit licen[cs]e", "MIT"),
        (" mit", r"\blicen[cs]e (?:is )?mit\b(?! or\b)", "MIT"),
    ),
)
_TEXT_PATTERNS = tuple(
    tuple((literal, re.compile(pattern), name) for literal, pattern, name in family) for family in _TEXTS
)
_LATER = r"(?: or (?:at your option )?(?:any )?later version| or later)"
_KIND = r"gnu (?:(?P<kind>affero|lesser|library) )?general public licen[cs]e"
_SHORT_VERSION = rf"(?P<version>[123](?:\.\d)?)\.?0?(?:\.0)? ?(?P<later>\+|{_LATER})?"
# A notice that puts a file under one of the GNU licences.
_GNU_NOTICES = tuple(
    map(
        re.compile,
        (
            rf"(?:terms|conditions) of version {_SHORT_VERSION} of the {_KIND}",
            r"(?:terms|conditions|subject|under|protected)(?: and conditions)? (?:of |to |by )?(?:the )?"
            rf"{_KIND}"
            rf"(?: l?gpl)?(?: as published by the free software foundation)?"
            rf"(?:[ .]+(?:either )?v(?:ersion)?\.? ?(?P<version>[123](?:\.\d)?)"
            rf"(?:\.0)?(?: of the licen[cs]e)?(?: as published by the free software foundation)?"
            rf"\.?(?P<later>\+|{_LATER})?)?",
            r"under (?:the )?(?:terms of )?(?:the )?(?:gnu )?(?P<kind>[al]?gpl)"
            rf"(?:[ v.]*(?:version )?{_SHORT_VERSION})?",
        ),
    )
)


def is_licence_file(path: str) -> bool:
    """Whether a file of this name holds a licence of what lies around it."""
    name = PurePosixPath(path).name
    return (
        _LICENCE_FILE.search(name) is not None
        and not name.lower().endswith(_NO_TEXT)
        and not is_companion(name)
    )


def is_companion(path: str) -> bool:
    """Whether a file of this name holds the licence of the one file that it is named after."""
    return _COMPANION.match(PurePosixPath(path).name) is not None


def is_notice_file(path: str) -> bool:
    """Whether a file of this name holds the notices that a licence asks to keep (of any licences)."""
    name = PurePosixPath(path).name
    return _NOTICE_FILE.search(name) is not None and not name.endswith(_NO_TEXT)


def licence_of_text(text: str) -> str | None:
    """The licence of a licence file's text; of several texts in it all hold, unless it says that one may
    be chosen. None when a part restricts it, or nothing is known."""
    words = _words(text.encode("utf-8", errors="replace"))
    # A long text of another licence speaks of the GNU's too.
    return _licence_of(words, is_notice=words.count(" ") < _NOTICE_WORDS)


def _words(text: bytes) -> str:
    """Lower-case words with single spaces between them."""
    return b" ".join(text.translate(_TO_WORDS).split()).decode("ascii")


def licence_of_header(data: bytes) -> str | None:
    """What the head of a source file says: SPDX tags, of which each holds for a part of it, or a notice."""
    head = data[:HEADER_BYTES]
    lower = head.lower()
    if not any(sign in lower for sign in _SIGNS):
        return None
    text = head.decode("utf-8", errors="replace")
    # The end of a comment is no part of a tag: `<!-- … -->`.
    found = dict.fromkeys(tag.strip(" -") for tag in _SPDX_TAG.findall(text))
    stated = [tag for tag in found if _is_expression(tag)]
    if len(stated) > 1:
        return " AND ".join(f"({one})" if " " in one else one for one in stated)
    return stated[0] if stated else _licence_of(_words(head), is_notice=True)


def _licence_of(words: str, *, is_notice: bool) -> str | None:
    families = (
        next((name for literal, pattern, name in family if literal in words and pattern.search(words)), None)
        for family in _TEXT_PATTERNS
    )
    found = [name for name in families if name is not None]
    has_gnu_text = any("GPL" in name for name in found)
    if any(name.startswith("LGPL") for name in found):
        # The LGPL adds to the GPL, whose text goes with it.
        found = [name for name in found if not name.startswith("GPL")]
    if not has_gnu_text:
        # A text of the GPL ends with how to write such a notice, and speaks of what is not commercial.
        found += _gnu_notice(words) if is_notice else []
        if found and any(sign in words and pattern.search(words) for sign, pattern in _RESTRICTIONS):
            return None
    if len(found) > 1 and _CHOICE.search(words):
        return " OR ".join(found)
    return " AND ".join(found) or None


def _gnu_notice(words: str) -> list[str]:
    if "general public licen" not in words and "gpl" not in words:
        return []
    match = next((match for pattern in _GNU_NOTICES if (match := pattern.search(words))), None)
    if match is None:
        return []
    said = match.groupdict()
    return [gnu_identifier(said["kind"] or "", said["version"], is_later=said["later"] is not None)]


def gnu_identifier(kind: str, version: str | None, *, is_later: bool) -> str:
    """The identifier of a GNU licence; without a version, any may be taken (GPL-3.0, §14)."""
    lower = kind.lower()
    name = (
        "AGPL" if lower in {"affero", "agpl"} else "LGPL" if lower in {"lesser", "library", "lgpl"} else "GPL"
    )
    if version is None:
        return {"AGPL": "AGPL-3.0-or-later", "LGPL": "LGPL-2.0-or-later", "GPL": "GPL-1.0-or-later"}[name]
    full = version if "." in version else f"{version}.0"
    # There is no version 2.0 of the Lesser licence but the Library's: people mean 2.1.
    full = "2.1" if name == "LGPL" and full == "2.0" and lower != "library" else full
    full = "3.0" if name == "AGPL" else full
    return f"{name}-{full}-{'or-later' if is_later else 'only'}"


def _is_expression(text: str) -> bool:
    try:
        parse(text)
    except ExpressionError:
        return False
    return True
