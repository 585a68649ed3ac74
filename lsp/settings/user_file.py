"""One line of the user's settings file, changed: `model = "NAME"`. The rest of the file stays as it is."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from model.local.private import private_files

_MODEL_LINE = re.compile(r"^model[ \t]*=.*$", re.MULTILINE)
_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)


def set_model(path: Path, name: str) -> None:
    """Set the model in a settings file, which is made if need be. Raises `ValueError`."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    changed = _with_model(text, f"model = {json.dumps(name, ensure_ascii=False)}")
    # What stood in a text of several lines, or in quotes, may have looked like the line.
    if tomllib.loads(changed) != tomllib.loads(text) | {"model": name}:
        raise ValueError(f"{path} cannot be changed safely: write `model = {json.dumps(name)}` into it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with private_files():
        path.write_text(changed, encoding="utf-8")


def _with_model(text: str, line: str) -> str:
    table = _TABLE.search(text)
    top, tables = (text, "") if table is None else (text[: table.start()], text[table.start() :])
    if (found := _MODEL_LINE.search(top)) is not None:
        return top[: found.start()] + line + top[found.end() :] + tables
    return f"{line}\n{text}"
