"""The licence of a file by all that a tree says: whose word counts, and what is kept of it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from attribution.source import LicenceEvidence
from tests.attribution.sources.test_ingest import MIT, read, write

APACHE = "Apache License\nVersion 2.0, January 2004\n"
GPL = "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007\n"
LGPL = "GNU LESSER GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007\n"
EULA = "You may not do anything.\n" * 20
NPM_UNLICENSED = '{"license": "UNLICENSED"}'
SEE = '{"license": "SEE LICENSE IN EULA.txt"}'
NPM_LIST = '{"licenses": [{"type": "MIT"}, {"type": "GPL-2.0"}]}'
TERMS = '[project]\nlicense = {file = "TERMS"}\n'
PROPRIETARY = "LicenseRef-scancode-proprietary-license"
NOTICE = (
    "# This program is free software; you can redistribute it and/or modify it under the terms of the GNU\n"
    "# General Public License as published by the Free Software Foundation; either version 2 of the\n"
    "# License, or (at your option) any later version.\n"
)
REUSE = """version = 1
[[annotations]]
path = "**"
SPDX-License-Identifier = "MIT"
[[annotations]]
path = ["data/*.c", "data/own.h"]
precedence = "override"
SPDX-License-Identifier = "ISC"
[[annotations]]
path = "both.c"
precedence = "aggregate"
SPDX-License-Identifier = "Zlib"
"""
OWN = "// SPDX-License-Identifier: GPL-3.0-only\n"
WORKSPACE = '[workspace]\nmembers = ["a"]\n[workspace.package]\nlicense = "MPL-2.0"\n'
MEMBER = '[package]\nname = "a"\nlicense.workspace = true\nversion.workspace = true\n'


@pytest.mark.parametrize(
    ("files", "path", "expected"),
    [
        ({"LICENSE": MIT, "a.py": NOTICE}, "a.py", "GPL-2.0-or-later"),
        ({"COPYING": GPL, "COPYING.LESSER": LGPL, "a.c": ""}, "a.c", "LGPL-3.0-only"),
        ({"LICENSE-MIT": MIT, "LICENSE-APACHE": APACHE, "a.rs": ""}, "a.rs", "Apache-2.0 OR MIT"),
        ({"LICENSE": MIT, "COPYING": GPL, "a.c": ""}, "a.c", "GPL-3.0-only AND MIT"),
        ({"LICENSE": MIT, "LICENSE-3rdparty.txt": GPL, "a.c": ""}, "a.c", "MIT"),
        ({"LICENSE": MIT, "vendor/x/COPYING": GPL, "vendor/x/a.c": ""}, "vendor/x/a.c", "GPL-3.0-only"),
        ({"LICENSE": MIT, "vendor/x/LICENSE": EULA, "vendor/x/a.c": ""}, "vendor/x/a.c", None),
        ({"LICENSE": MIT, "a.png.license": OWN, "a.png": "x", "b.c": ""}, "b.c", "MIT"),
        ({"LICENSE": MIT, "a.svg.license": OWN, "a.svg": "x"}, "a.svg", "GPL-3.0-only"),
        ({"REUSE.toml": REUSE, "a.c": ""}, "a.c", "MIT"),
        ({"REUSE.toml": REUSE, "a.c": OWN}, "a.c", "GPL-3.0-only"),
        ({"REUSE.toml": REUSE, "data/a.c": OWN}, "data/a.c", "ISC"),
        ({"REUSE.toml": REUSE, "data/deep/a.c": OWN}, "data/deep/a.c", "GPL-3.0-only"),
        ({"REUSE.toml": REUSE, "both.c": OWN}, "both.c", "GPL-3.0-only AND Zlib"),
        ({"pyproject.toml": '[tool.poetry]\nname = "a"\nlicense = "ISC"\n', "a.py": ""}, "a.py", "ISC"),
        ({"pyproject.toml": TERMS, "TERMS": GPL, "a.py": ""}, "a.py", "GPL-3.0-only"),
        ({"Cargo.toml": WORKSPACE, "a/Cargo.toml": MEMBER, "a/a.rs": ""}, "a/a.rs", "MPL-2.0"),
        ({"package.json": NPM_UNLICENSED, "a.js": ""}, "a.js", PROPRIETARY),
        ({"package.json": SEE, "EULA.txt": EULA, "a.js": ""}, "a.js", None),
        ({"package.json": SEE, "EULA.txt": MIT, "a.js": ""}, "a.js", "MIT"),
        ({"package.json": NPM_LIST, "a.js": ""}, "a.js", "MIT OR GPL-2.0"),
        ({"package.json": '{"license": "MIT"}', "LICENSE": GPL, "a.js": ""}, "a.js", "MIT AND GPL-3.0-only"),
        ({"package.json": '{"license": "GPL-3.0+"}', "LICENSE": GPL, "a.js": ""}, "a.js", "GPL-3.0+"),
        ({"package.json": '{"license": "MIT (non-commercial)"}', "LICENSE": MIT, "a.js": ""}, "a.js", None),
        ({"package.json": '{"license": "BSD"}', "LICENSE": MIT, "a.js": ""}, "a.js", "MIT"),
    ],
)  # fmt: skip
def test_the_licence_of_a_file(
    tmp_path: Path, files: dict[str, str], path: str, expected: str | None
) -> None:
    found, _ = read(write(tmp_path, dict(files)))
    assert found[path].source.license == expected


POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><parent><groupId>g</groupId></parent>
<artifactId>{}</artifactId><version>1.0</version><licenses>
<license><name>The Apache License, Version 2.0</name></license><license><name>EPL 2.0</name></license>
</licenses></project>"""


@pytest.mark.parametrize(
    ("files", "name", "expected"),
    [
        ({"META-INF/LICENSE": APACHE}, "thing-1.0.jar", "Apache-2.0"),
        ({"META-INF/maven/g/thing/pom.xml": POM.format("thing")}, "thing-1.0.jar", "Apache-2.0 OR EPL-2.0"),
        ({"META-INF/maven/g/other/pom.xml": POM.format("other")}, "thing-1.0.jar", None),
        ({"META-INF/maven/g/thing/pom.xml": "<broken"}, "thing-1.0.jar", None),
        ({"x-1.dist-info/METADATA": "Name: x\nLicense-Expression: ISC\n"}, "x-1-py3-none-any.whl", "ISC"),
        (
            {
                "x-1.dist-info/METADATA": "Name: x\nLicense-Expression: MIT\n",
                "x-1.dist-info/licenses/LICENSE": GPL,
            },
            "x-1-py3-none-any.whl",
            "MIT AND GPL-3.0-only",
        ),
    ],
)
def test_the_licence_of_an_archive(
    tmp_path: Path, files: dict[str, str], name: str, expected: str | None
) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as bundle:
        for path, text in {**files, "org/A.java": "class A {}"}.items():
            bundle.writestr(path, text)
    found, _ = read(tmp_path / name)
    assert found["org/A.java"].source.license == expected


def test_what_a_licence_is_known_by(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"package.json": '{"license": "MIT"}', "LICENSE": GPL, "a.js": "1", "b.js": OWN, "sub/c.js": "2"},
    )
    found, _ = read(tmp_path)
    of_folder = LicenceEvidence(
        declared="MIT", declared_in="package.json", detected="GPL-3.0-only", detected_in="LICENSE"
    )
    assert found["a.js"].source.evidence == found["sub/c.js"].source.evidence == of_folder
    own = found["b.js"].source
    assert own.license == "GPL-3.0-only"
    assert own.evidence == LicenceEvidence(
        declared="MIT", declared_in="package.json", detected="GPL-3.0-only", detected_in="b.js"
    )


def test_where_sources_lay_is_not_told(tmp_path: Path) -> None:
    write(tmp_path, {"src/a.py": "1"})
    [document] = read(tmp_path / "src")[0].values()
    assert document.source.origin is not None
    assert "/" not in document.source.origin
    assert tmp_path.name not in document.source.origin
