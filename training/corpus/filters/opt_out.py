"""Lists of whose code is left out because they asked for it: whole accounts, or single repositories.

A list is a text file, one `owner` or `owner/repository` a line, `#` begins a comment (the form of
BigCode's second opt-out list). What a rule covers is `attribution.store.opt_outs`', where an index
keeps such rules too; paths are in none of these lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from attribution.store.opt_outs import OptOut, OptOuts
from training.corpus.errors import CorpusError

_NAME = re.compile(r"[\w.-]+(?::[\w.-]+)?(?:/[\w.-]+)?")


def read_opt_outs(paths: Sequence[Path]) -> OptOuts:
    """The rules of all lists; raises CorpusError that names the file and the line at fault."""
    return OptOuts(rule for path in paths for rule in _rules(path))


def _rules(path: Path) -> Iterator[OptOut]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot read the opt-out list {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        name = line.partition("#")[0].strip().removeprefix("https://github.com/").strip("@/")
        if not name:
            continue
        if not _NAME.fullmatch(name):
            raise CorpusError(f"{path} line {number}: {name!r} is neither an owner nor owner/repository")
        yield OptOut(repository=name) if "/" in name else OptOut(owner=name)
