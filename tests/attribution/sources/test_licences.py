from pathlib import Path

import pytest

from attribution.sources.declarations import licence_of_declaration
from attribution.sources.licences import (
    is_licence_file,
    licence_of_header,
    licence_of_text,
)

FIXTURES = Path(__file__).resolve().parents[4] / "shared" / "data" / "licensee" / "spec" / "fixtures"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LICENSE", True),
        ("license.txt", True),
        ("LICENCE.md", True),
        ("COPYING.LESSER", True),
        ("mypackage-license.txt", True),
        ("license.py", False),
        ("licenses.json", False),
        ("readme.md", False),
    ],
)
def test_names_of_licence_files(name: str, expected: bool) -> None:
    assert is_licence_file(name) is expected


def test_licences_of_the_repository_of_real_texts() -> None:
    if not FIXTURES.is_dir():
        pytest.skip(f"needs licence texts in {FIXTURES.name}, which is not in the repository")
    found = {
        path.parent.name: licence_of_text(path.read_text(encoding="utf-8", errors="replace"))
        for path in FIXTURES.glob("*/LICENSE*")
        if path.is_file()
    }
    assert EXPECTED.items() <= found.items(), {name: found.get(name) for name in EXPECTED}


EXPECTED = {
    "agpl-3.0_markdown": "AGPL-3.0-only",
    "apache-2.0_markdown": "Apache-2.0",
    "bom": "MIT",
    "bsd-2-author": "BSD-2-Clause",
    "bsd-3-lists": "BSD-3-Clause",
    "bsd-3-noendorseslash": "BSD-3-Clause",
    "bsl": "BSL-1.0",
    "cc-by-nd": None,
    "cc0-cal2013": "CC0-1.0",
    "crlf-license": "GPL-3.0-only",
    "fcpl-modified-mpl": None,
    "gpl-2.0_markdown": "GPL-2.0-only",
    "gpl-3.0_markdown": "GPL-3.0-only",
    "lgpl-2.1_markdown": "LGPL-2.1-only",
    "lgpl-3.0_markdown": "LGPL-3.0-only",
    "mit-optional": "MIT",
    "mpl-without-hrs": "MPL-2.0",
    "pixar-modified-apache": None,
    "unlicense-noinfo": "Unlicense",
    "wrk-modified-apache": None,
}


def test_our_own_licence() -> None:
    assert licence_of_text((Path(__file__).parents[3] / "LICENSE").read_text()) == "Apache-2.0"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("MIT", "MIT"),
        ("MIT License", "MIT"),
        ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("The Apache Software License, Version 2.0", "Apache-2.0"),
        ("BSD 3-Clause License", "BSD-3-Clause"),
        ("BSD", None),
        ("GNU Lesser General Public License v3 (LGPLv3)", "LGPL-3.0-only"),
        ("GPLv3+", "GPL-3.0-or-later"),
        ("UNLICENSED", "LicenseRef-scancode-proprietary-license"),
        ("Unlicense", "Unlicense"),
        ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("GPL-2.0/3.0", "GPL-2.0 OR GPL-3.0"),
        ("MIT License (non-commercial)", None),
        ("MIT AND something-else", None),
        ("MIT or GPLv3", "MIT OR GPL-3.0-only"),
        ("MPL 1.1/GPL 2.0/LGPL 2.1", "MPL-1.1 OR GPL-2.0-only OR LGPL-2.1-only"),
        ("MIT and GPL-2", "MIT AND GPL-2.0-only"),
        ("Apache 1.1", "Apache-1.1"),
        ("GNU General Public License (GPL)", "GPL-1.0-or-later"),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", "LGPL-2.1-or-later"),
        ("see the website", None),
        ("", None),
    ],
)
def test_declarations(declared: str, expected: str | None) -> None:
    assert licence_of_declaration(declared) == expected


def test_headers() -> None:
    assert licence_of_header(b"// SPDX-License-Identifier: MIT\n") == "MIT"
    assert (
        licence_of_header(b"/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */") == "(GPL-2.0-only OR MIT)"
    )
    assert licence_of_header(b"# SPDX-License-Identifier: \xff\n") is None
    assert licence_of_header(b"nothing") is None
    assert licence_of_header(b"<!-- SPDX-License-Identifier: GPL-3.0-only -->\n") == "GPL-3.0-only"
    assert licence_of_header(b"<?php // SPDX-License-Identifier: Foo-1.0") == "Foo-1.0"
    several = b"// SPDX-License-Identifier: MIT\n// SPDX-License-Identifier: MIT OR ISC\n"
    assert licence_of_header(several) == "MIT AND (MIT OR ISC)"


FSF = "as published by\n * the Free Software Foundation;"


@pytest.mark.parametrize(
    ("notice", "expected"),
    [
        ("under the terms of the GNU General Public License.", "GPL-1.0-or-later"),
        (
            f"under the terms of the\n * GNU General Public License {FSF} either version 2 of the License,\n"
            " * or (at your option) any later version.",
            "GPL-2.0-or-later",
        ),
        (f"under the terms of the GNU Lesser General Public License {FSF} version 2.1.", "LGPL-2.1-only"),
        ("under the terms of version 2 of the GNU General Public License", "GPL-2.0-only"),
        ("Released under GPLv3.", "GPL-3.0-only"),
        ('Licensed under the Apache License, Version 2.0 (the "License");', "Apache-2.0"),
        ("subject to the terms of the Mozilla Public\n * License, v. 2.0.", "MPL-2.0"),
        ("@license MIT", "MIT"),
        ("Licensed under the Apache License, Version 2.0 or the MIT license.", "Apache-2.0 OR MIT"),
        (
            "Licensed under the MIT License. Alternatively, under the terms of the GNU General Public "
            "License version 2.",
            "MIT OR GPL-2.0-only",
        ),
        ("Compatible with the GNU General Public License version 3.", None),
        ("A BSD-style license that can be found in the LICENSE file.", None),
    ],
)
def test_notices_of_files(notice: str, expected: str | None) -> None:
    assert licence_of_header(f"/*\n * {notice}\n */\nint x;\n".encode()) == expected


MIT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy … The above copyright "
    "notice shall be included in all copies."
)
BSD = "Redistributions in binary form must reproduce the above copyright notice."
GPL = "GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{MIT} This licence is compatible with the GNU General Public License, version 2.", "MIT"),
        (f"{MIT} Only for non-commercial use.", None),
        (f'{MIT} "Commons Clause" License Condition v1.0', None),
        (f"{MIT} The Software shall be used for Good, not Evil.", None),
        (f"{MIT} {BSD}", "BSD-2-Clause AND MIT"),
        (f"GNU LESSER {GPL} … GNU {GPL}", "LGPL-3.0-only"),
    ],
)
def test_texts(text: str, expected: str | None) -> None:
    assert licence_of_text(text) == expected
