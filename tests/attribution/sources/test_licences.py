from pathlib import Path

import pytest

from attribution.sources.licences import (
    is_licence_file,
    licence_of_declaration,
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
        ("GPLv3+", "GPL-3.0-only"),
        ("UNLICENSED", "LicenseRef-scancode-proprietary-license"),
        ("Unlicense", "Unlicense"),
        ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("GPL-2.0/3.0", "GPL-3.0-only"),
        ("MIT License (non-commercial)", None),
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
    several = b"// SPDX-License-Identifier: MIT\n// SPDX-License-Identifier: MIT OR ISC\n"
    assert licence_of_header(several) == "MIT AND (MIT OR ISC)"
