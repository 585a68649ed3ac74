"""The project and the index on which the gate's cases in docs/attribution.md are run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.attribution.samples import code, document, index_of

GIT = ("git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
# File of the project: the seed of its code, and the licences of those who hold it.
SINGLE = {
    "mit.py": (100, ("MIT",)),
    "gpl.py": (101, ("GPL-3.0-only",)),
    "both.py": (102, ("MIT", "GPL-3.0-only")),
    "unknown.py": (103, (None,)),
    "acme.py": (104, ("LicenseRef-Acme",)),
    "choice.py": (105, ("MIT OR GPL-2.0-only",)),
    "joint.py": (106, ("MIT AND GPL-2.0+",)),
    "classpath.py": (107, ("GPL-2.0-only WITH Classpath-exception-2.0",)),
    "cpal.py": (108, ("CPAL-1.0",)),
    "words.py": (109, ("see COPYING, GPL-3.0",)),
}
MANY_MIT = range(200, 220)
SHORT_GPL = code(220, lines=6)
OWN = code(999)


def build_project_index(url: Path) -> None:
    """What the project's files were copied from."""
    documents = [
        document(f"owner{n}/r", name, code(seed), license=licence)
        for name, (seed, licences) in SINGLE.items()
        for n, licence in enumerate(licences)
    ]
    # Near-identical files of thirty projects, one of which is under another licence.
    documents += [
        document(f"near{n:02}/r", "n.py", code(150) + code(300 + n), license="MIT") for n in range(30)
    ]
    documents.append(document("zealous/r", "n.py", code(150) + code(340), license="GPL-3.0-only"))
    documents += [document(f"many{n}/r", "m.py", code(n), license="MIT") for n in MANY_MIT]
    documents.append(document("short/r", "s.py", SHORT_GPL, license="GPL-3.0-only"))
    index_of(url, documents)


def write_project(folder: Path) -> None:
    """A repository with copies; `changed.py` has new lines since HEAD, the last of which are GPL's."""
    for name, (seed, _) in SINGLE.items():
        (folder / name).write_text(code(seed))
    (folder / "own.py").write_text(OWN)
    (folder / "near.py").write_text(code(150))
    (folder / "many.py").write_text("".join(map(code, MANY_MIT)) + SHORT_GPL)
    gpl = code(101)
    (folder / "utf16.py").write_bytes(gpl.encode("utf-16"))
    (folder / "latin.py").write_bytes(f"# -*- coding: latin-1 -*-\n{gpl}".encode("latin-1"))
    (folder / "odd.py").write_bytes(f"# -*- coding: no-such -*-\n{gpl}".encode("latin-1"))
    cells = [{"cell_type": "code", "source": text.splitlines(keepends=True)} for text in (OWN, gpl)]
    (folder / "book.ipynb").write_text(json.dumps({"nbformat": 4, "cells": cells}))
    _write_policies(folder, gpl)
    (folder / "changed.py").write_text(gpl)
    (folder / ".gitignore").write_text("ignored/\n")
    (folder / "src/ignored").mkdir(parents=True)
    (folder / "src/ignored/gpl.py").write_text(gpl)
    (folder / "src/mit.py").write_text(code(100))
    subprocess.run([*GIT, "init", "-q"], cwd=folder, check=True)
    subprocess.run([*GIT, "add", "."], cwd=folder, check=True)
    subprocess.run([*GIT, "commit", "-q", "-m", "begun"], cwd=folder, check=True)
    (folder / "changed.py").write_text(f"{gpl}\n{code(100)}")
    (folder / "new.py").write_text(code(108))


def _write_policies(folder: Path, gpl: str) -> None:
    ignore = '[[ignore]]\npath = "vendor/"\nreason = "asked the owner"\nexpires = {}\n'
    policies = {
        "denying": 'version = 1\ndeny = ["copyleft"]\nreview = ["MIT"]\n',
        "allowing": 'version = 1\nallow = ["MIT", "Apache-2.0"]\n',
        "ignoring": 'version = 1\ndeny = ["copyleft"]\n' + ignore.format("2999-12-31"),
        "expired": 'version = 1\ndeny = ["copyleft"]\n' + ignore.format("2020-01-01"),
        "misspelt": 'version = 1\ndeny = ["copylefft"]\n',
    }
    for name, text in policies.items():
        (folder / name / "vendor").mkdir(parents=True)
        (folder / name / ".starcoder-policy.toml").write_text(text)
        (folder / name / "vendor/gpl.py").write_text(gpl)
        (folder / name / "mit.py").write_text(code(100))
