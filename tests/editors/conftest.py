"""Fixtures of the tests that run other people's editors against the real server and the bundled model."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.scripted import Session
from tests.lsp.editor import server_environment
from tests.lsp.test_real_engine import end_engine

ROOT = Path(__file__).parents[2]
LICENCE = """MIT License

Copyright (c) 2024 The authors of polygons

Permission is hereby granted, free of charge, to any person obtaining a copy of this software, to deal in
the Software without restriction, subject to the following conditions: The above copyright notice shall be
included in all copies.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND.
"""
INDEXED = '''def signed_area(points):
    """Twice the area of a polygon, positive when it turns left."""
    total = 0.0
    previous_x, previous_y = points[-1]
    for x, y in points:
        total += previous_x * y - x * previous_y
        previous_x, previous_y = x, y
    return total


'''


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An attribution index of one small package."""
    folder = tmp_path_factory.mktemp("i")
    package = folder / "polygons"
    package.mkdir()
    (package / "LICENSE").write_text(LICENCE, encoding="utf-8")
    (package / "area.py").write_text(INDEXED, encoding="utf-8")
    command = [
        sys.executable,
        "-I",
        "-m",
        "lsp",
        "index",
        "build",
        str(package),
        "--into",
        str(folder / "index"),
    ]
    subprocess.run([*command, "--processes", "1"], check=True, capture_output=True, timeout=240)
    return folder / "index"


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory, index: Path) -> Iterator[Session]:
    """A user whose file ends behind code that the index knows, in the middle of a line of their own."""
    if not list((ROOT / "model" / "starter").glob("*.safetensors")):
        pytest.skip("this checkout has no weights in model/starter")
    home = tmp_path_factory.mktemp("e")
    (home / "run").mkdir(mode=0o700)
    (home / "project" / ".git").mkdir(parents=True)
    environment = server_environment(home) | {"STARCODER_ATTRIBUTION_INDEX": str(index), "LC_ALL": "C.UTF-8"}
    yield Session(folder=home / "project", environment=environment)
    for socket in home.glob("run/**/engine-*.sock"):
        asyncio.run(end_engine(socket))
