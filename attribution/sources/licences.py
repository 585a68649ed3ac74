"""Which licence a text, a header or a declaration is: an SPDX identifier, or None.

Recognition is by the sentences that only one licence has; what is not recognised is unknown,
never guessed. Also serves `training/`, where packages are pinned with their licence.
"""

from __future__ import annotations

import email.parser
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from attribution.errors import ExpressionError
from attribution.sources.spdx import evaluate, known_licence

_SPDX_TAG = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]+)")
# npm's word for "you may not", which is not the Unlicense; ScanCode's LicenseDB has an identifier for it.
_PROPRIETARY = re.compile(r"unlicensed|proprietary|commercial|all rights reserved\.?", re.IGNORECASE)
PROPRIETARY = "LicenseRef-scancode-proprietary-license"
# A known name with a restriction is another licence.
_RESTRICTED = re.compile(r"non-?commercial|commons clause|evaluation only", re.IGNORECASE)
# Where a file names its licence, if it does.
HEADER_BYTES = 4096
_MARKS = re.compile(r"[*_#>`|=\ufeff]+|-{3,}")
_LICENCE_FILE = re.compile(r"(?:^|[._-])(?:un)?(?:licen[cs]es?|copying)(?:[._-][\w.-]*)?$", re.IGNORECASE)
_NOTICE_FILE = re.compile(r"(?:^|[._-])notice(?:[._-][\w.-]*)?$", re.IGNORECASE)
_NO_TEXT = (".py", ".js", ".ts", ".json", ".html")

# (what the licence's own text says, identifier), the more specific first; white space is squeezed.
_TEXTS: tuple[tuple[str, str], ...] = (
    (r"GNU AFFERO GENERAL PUBLIC LICENSE Version 3", "AGPL-3.0-only"),
    (r"GNU LESSER GENERAL PUBLIC LICENSE Version 3", "LGPL-3.0-only"),
    (r"GNU LESSER GENERAL PUBLIC LICENSE Version 2\.1", "LGPL-2.1-only"),
    (r"GNU LIBRARY GENERAL PUBLIC LICENSE Version 2", "LGPL-2.0-only"),
    (r"GNU GENERAL PUBLIC LICENSE Version 3", "GPL-3.0-only"),
    (r"GNU GENERAL PUBLIC LICENSE Version 2", "GPL-2.0-only"),
    (r"Mozilla Public License,? v(ersion|\.) ?2\.0", "MPL-2.0"),
    (r"Apache License,? Version 2\.0", "Apache-2.0"),
    (r"Eclipse Public License - v 2\.0", "EPL-2.0"),
    (r"Boost Software License - Version 1\.0", "BSL-1.0"),
    (r"CC0 1\.0 Universal", "CC0-1.0"),
    (r"This is free and unencumbered software released into the public domain", "Unlicense"),
    (r"PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2", "PSF-2.0"),
    (r"altered source versions must be plainly marked as such", "Zlib"),
    (r"Neither the name .{0,200}? may be used to endorse or promote", "BSD-3-Clause"),
    (r"Redistributions in binary form must reproduce the above copyright notice", "BSD-2-Clause"),
    (
        r"Permission to use, copy, modify, and/?(or)? distribute this software for any purpose with or "
        r"without fee is hereby granted, provided",
        "ISC",
    ),
    (
        r"Permission to use, copy, modify, and/?(or)? distribute this software for any purpose with or "
        r"without fee is hereby granted\.",
        "0BSD",
    ),
    (
        r"Permission is hereby granted, free of charge, to any person obtaining a copy.{0,900}"
        r"shall be included",
        "MIT",
    ),
    (r"Permission is hereby granted, free of charge, to any person obtaining a copy", "MIT-0"),
)
_TEXT_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), name) for pattern, name in _TEXTS)

# What package metadata calls them, and what that may stand for; the more specific first.
_NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"affero|agpl", ("AGPL-3.0-only",)),
    (r"(lesser|lgpl).*3", ("LGPL-3.0-only",)),
    (r"lesser|lgpl", ("LGPL-2.1-only",)),
    (r"(gnu general|gpl).*3", ("GPL-3.0-only",)),
    (r"(gnu general|gpl).*2", ("GPL-2.0-only",)),
    (r"mozilla.*2|mpl.*2", ("MPL-2.0",)),
    (r"apache", ("Apache-2.0",)),
    (r"\bbsd-3|(3|three).clause|new bsd|modified bsd", ("BSD-3-Clause",)),
    (r"\bbsd-2|(2|two).clause|simplified bsd", ("BSD-2-Clause",)),
    (r"\b0bsd\b", ("0BSD",)),
    (r"\bbsd\b(?!-\d)", ("BSD-2-Clause", "BSD-3-Clause")),
    (r"\bmit\b|expat", ("MIT",)),
    (r"\bisc\b", ("ISC",)),
    (r"python software foundation|\bpsf", ("PSF-2.0",)),
    (r"unlicense", ("Unlicense",)),
    (r"zlib", ("Zlib",)),
)
_NAME_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), names) for pattern, names in _NAMES)


def is_licence_file(path: str) -> bool:
    """Whether a file of this name holds a licence."""
    name = PurePosixPath(path).name
    return _LICENCE_FILE.search(name) is not None and not name.endswith(_NO_TEXT)


def is_notice_file(path: str) -> bool:
    """Whether a file of this name holds the notices that a licence asks to keep (of any licences)."""
    name = PurePosixPath(path).name
    return _NOTICE_FILE.search(name) is not None and not name.endswith(_NO_TEXT)


def licence_of_text(text: str) -> str | None:
    """The identifier of a licence's text; None when it is not one we know."""
    # Markdown's marks and comment signs stand between words as white space does.
    squeezed = " ".join(_MARKS.sub(" ", text).split())
    return next((name for pattern, name in _TEXT_PATTERNS if pattern.search(squeezed)), None)


def licence_of_header(data: bytes) -> str | None:
    """What a source file's `SPDX-License-Identifier:` says; of several, each holds for a part of it."""
    tags = _SPDX_TAG.findall(data[:HEADER_BYTES].decode("utf-8", errors="replace"))
    # The end of a comment is no part of it: `<!-- … -->`.
    found = dict.fromkeys(_well_formed(tag.strip(" -")) for tag in tags)
    stated = [expression for expression in found if expression is not None]
    if len(stated) < 2:
        return next(iter(stated), None)
    return " AND ".join(f"({one})" if " " in one else one for one in stated)


def licence_of_declaration(declared: str) -> str | None:
    """The expression that package metadata stands for: an expression, a licence's name, or its text."""
    first_line = next(iter(declared.strip().splitlines()), "")
    if _PROPRIETARY.fullmatch(first_line.strip()):
        return PROPRIETARY
    if _RESTRICTED.search(first_line):
        return None
    choices = [part.strip() for part in first_line.split("/")]
    if len(choices) > 1 and all(map(known_licence, choices)):
        # Cargo's way of writing OR, before it read SPDX expressions.
        return " OR ".join(choices)
    if expression := _well_formed(first_line):
        return expression
    names = next((names for pattern, names in _NAME_PATTERNS if pattern.search(first_line)), ())
    # A name that may stand for several is decided by the text, if it is there.
    return names[0] if len(names) == 1 else licence_of_text(declared)


def licences_named(declared: str) -> frozenset[str]:
    """All licences that the names in a declaration may stand for."""
    return frozenset(name for pattern, names in _NAME_PATTERNS if pattern.search(declared) for name in names)


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a package's metadata says: an expression or the field for it, and classifiers of PyPI."""

    stated: str
    classifiers: tuple[str, ...] = ()


def declared_by_python(metadata: str) -> Declared:
    """What a METADATA or PKG-INFO says; an SPDX expression counts before all else."""
    headers = email.parser.HeaderParser().parsestr(metadata)
    if headers["License-Expression"]:
        return Declared(stated=str(headers["License-Expression"]))
    classifiers = [str(value) for value in headers.get_all("Classifier", [])]
    stated = str(headers["License"] or "").strip()
    return Declared(
        stated="" if stated == "UNKNOWN" else stated,
        classifiers=tuple(value.split(" :: ")[-1] for value in classifiers if value.startswith("License ::")),
    )


def declared_by_npm(package: dict[str, Any]) -> Declared:
    """What a package.json says."""
    stated = package.get("license", "")
    return Declared(stated=str(stated.get("type", "") if isinstance(stated, dict) else stated))


def _well_formed(text: str) -> str | None:
    try:
        evaluate(text, lambda _: True)
    except ExpressionError:
        return None
    # One bare word is an expression only if it looks like an identifier (`MIT`, `BSD-3-Clause`; not `BSD`).
    known = {name for _, name in _TEXTS} | {name for _, names in _NAMES for name in names}
    return text if " " in text or "-" in text or text in known else None
