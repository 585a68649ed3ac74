"""Which licence a text, a header or a declaration is: an SPDX identifier, or None.

Recognition is by the sentences that only one licence has; what is not recognised is unknown,
never guessed.
"""

from __future__ import annotations

import re

from attribution.errors import ExpressionError
from attribution.spdx import evaluate

_SPDX_TAG = re.compile(r"SPDX-License-Identifier:\s*([\w.+() -]+)")
# Where a file names its licence, if it does.
HEADER_BYTES = 4096
_MARKS = re.compile(r"[*_#>`|=\ufeff]+|-{3,}")
_FILE_NAME = re.compile(
    r"^(un)?licen[cs]e|^copying|^mit-license|[-_.]licen[cs]e(\.(md|txt|rst))?$", re.IGNORECASE
)

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

# What package metadata calls them, where that is not the identifier.
_NAMES: tuple[tuple[str, str], ...] = (
    (r"affero|agpl", "AGPL-3.0-only"),
    (r"(lesser|lgpl).*3", "LGPL-3.0-only"),
    (r"lesser|lgpl", "LGPL-2.1-only"),
    (r"(gnu general|gpl).*3", "GPL-3.0-only"),
    (r"(gnu general|gpl).*2", "GPL-2.0-only"),
    (r"mozilla.*2|mpl.*2", "MPL-2.0"),
    (r"apache", "Apache-2.0"),
    (r"(3|three).clause|new bsd|modified bsd", "BSD-3-Clause"),
    (r"(2|two).clause|simplified bsd", "BSD-2-Clause"),
    (r"\bmit\b|expat", "MIT"),
    (r"\bisc\b", "ISC"),
    (r"python software foundation|\bpsf", "PSF-2.0"),
    (r"unlicense", "Unlicense"),
    (r"zlib", "Zlib"),
)
_NAME_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), name) for pattern, name in _NAMES)


def is_licence_file(name: str) -> bool:
    """Whether a file of this name holds a licence."""
    return _FILE_NAME.search(name) is not None and not name.endswith((".py", ".js", ".ts", ".json", ".html"))


def licence_of_text(text: str) -> str | None:
    """The identifier of a licence's text; None when it is not one we know."""
    # Markdown's marks and comment signs stand between words as white space does.
    squeezed = " ".join(_MARKS.sub(" ", text).split())
    return next((name for pattern, name in _TEXT_PATTERNS if pattern.search(squeezed)), None)


def licence_of_header(data: bytes) -> str | None:
    """What a source file's `SPDX-License-Identifier:` says."""
    found = _SPDX_TAG.search(data[:HEADER_BYTES].decode("utf-8", errors="replace"))
    return None if found is None else _well_formed(found[1].strip())


def licence_of_declaration(declared: str) -> str | None:
    """The expression that package metadata stands for: an expression, a licence's name, or its text."""
    first_line = next(iter(declared.strip().splitlines()), "")
    if expression := _well_formed(first_line):
        return expression
    named = next((name for pattern, name in _NAME_PATTERNS if pattern.search(first_line)), None)
    return named or licence_of_text(declared)


def _well_formed(text: str) -> str | None:
    try:
        evaluate(text, lambda _: True)
    except ExpressionError:
        return None
    # One bare word is an expression only if it looks like an identifier (`MIT`, `BSD-3-Clause`; not `BSD`).
    known = {name for _, name in (*_TEXTS, *_NAMES)}
    return text if " " in text or "-" in text or text in known else None
