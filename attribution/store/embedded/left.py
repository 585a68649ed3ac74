"""Opt-outs that are left for the process that writes to an index: it applies them before its next commit.

One file a removal, in a folder of the index. What became of them is written beside: the writer's answer.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from attribution.errors import IndexBusyError
from attribution.store.contract import Removed, Writer
from attribution.store.embedded.folder import LEFT, check_ours
from attribution.store.opt_outs import OptOut

_ASKED, _DONE = ".json", ".done"
_NAMES = "[0-9a-f]" * 32 + _ASKED
_PAUSE_S = 0.1


@dataclass(frozen=True)
class Left:
    """The rules that are left in one index folder."""

    index: Path

    @property
    def _folder(self) -> Path:
        return self.index / LEFT

    def hand_over(
        self, rules: Sequence[OptOut], opened: Callable[[], AbstractContextManager[Writer]]
    ) -> Removed:
        """Leave rules until they are applied: by the process that writes, or by us when it has ended."""
        check_ours(self.index)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        asked = self._folder / f"{uuid.uuid4().hex}{_ASKED}"
        _write(asked, [[rule.owner, rule.repository, rule.path] for rule in rules])
        done = asked.with_suffix(_DONE)
        while not done.exists():
            try:
                with opened():
                    pass  # a writer applies what is left as it begins
            except IndexBusyError:
                time.sleep(_PAUSE_S)
        documents, idle = json.loads(done.read_text(encoding="utf-8"))
        done.unlink()
        return Removed(documents, tuple(rules[at] for at in idle))

    def rules(self) -> dict[Path, list[OptOut]]:
        """What waits, by its file."""
        return {
            path: [
                OptOut(owner=owner, repository=repository, path=pattern)
                for owner, repository, pattern in json.loads(path.read_text(encoding="utf-8"))
            ]
            for path in sorted(self._folder.glob(_NAMES))
        }

    def answer(self, asked: Path, rules: Sequence[OptOut], removed: Removed) -> None:
        """The rules of a file were applied and committed."""
        idle = [at for at, rule in enumerate(rules) if rule in removed.idle]
        _write(asked.with_suffix(_DONE), [removed.documents, idle])
        asked.unlink()


def _write(path: Path, value: object) -> None:
    """Whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value), encoding="utf-8")
    draft.replace(path)
