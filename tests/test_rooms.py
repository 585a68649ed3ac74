"""The house: every room says what it is, the document repeats it, and no room grows too full."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("lsp", "training", "attribution", "model")
MOST_MODULES = 15


class Room(NamedTuple):
    """A package, in the words of its `__init__`."""

    path: Path
    owns: str
    knows_not: str
    read_first: str


def rooms() -> Iterator[Room]:
    """The first line says what a room owns, the last sentence before `Read first:` what it does not know."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("__init__.py")):
            path = file.parent.relative_to(ROOT)
            text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            told = re.fullmatch(r"(.+?)\n\n(.+)\bRead first: (.+?)\.?", text, re.DOTALL)
            assert told is not None, (
                f"{path}/__init__.py: say what it owns, does not know, and what to read first"
            )
            owns, limits, first = (" ".join(part.split()) for part in told.groups())
            yield Room(path, owns, re.split(r"(?<=\.) ", limits)[-1], first)


def rooms_table() -> str:
    """The table of docs/architecture.md."""
    rows = ["| room | what it owns, and what it does not know | read first |", "|---|---|---|"]
    rows += [f"| `{room.path}/` | {room.owns} {room.knows_not} | {room.read_first} |" for room in rooms()]
    return "\n".join(rows)


def test_the_document_has_the_rooms_as_they_call_themselves() -> None:
    assert rooms_table() in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("room", list(rooms()), ids=lambda room: str(room.path))
def test_what_to_read_first_is_there(room: Room) -> None:
    for name in re.findall(r"`([\w./]+)`", room.read_first):
        module = ROOT / Path(*name.split("."))
        assert module.with_suffix(".py").is_file() or (ROOT / room.path / name).is_file(), name


def test_no_room_is_too_full() -> None:
    """A newcomer finds the place for a change in a minute."""
    sizes = {room.path: len(list((ROOT / room.path).glob("*.py"))) - 1 for room in rooms()}
    assert {path: size for path, size in sizes.items() if size > MOST_MODULES} == {}


def public_types(module: ast.Module) -> dict[str, str]:
    """The public classes and type aliases (in CamelCase) of a module, and what each is."""
    found = {node.name: ast.dump(node) for node in module.body if isinstance(node, ast.ClassDef)}
    for node in module.body:
        if isinstance(node, ast.Assign) and not is_type_variable(node.value):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            found.update(dict.fromkeys(names, ast.dump(node.value)))
    return {name: what for name, what in found.items() if name[0].isupper() and not name.isupper()}


def is_type_variable(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar"


def test_a_public_type_means_one_thing() -> None:
    """Classes and type aliases; an alias that is the same in two modules means the same in both."""
    meanings: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for name, what in public_types(ast.parse(path.read_text(encoding="utf-8"))).items():
                meanings[name][str(path.relative_to(ROOT))] = what
    assert len(meanings) > 500
    ambiguous = {name: [*places] for name, places in meanings.items() if len(set(places.values())) > 1}
    assert ambiguous == {}
