"""An index whose bytes are flipped, cut off or zeroed, closed or open: an error, or the right answer."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from attribution.store.open import open_index
from lsp.sources.store import AttributionStore, SearchAnswer, Where
from tests.attribution.samples import code, document, index_of
from tests.reliability.outcome import Outcome

_DOCUMENTS = 30


def _flip(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.randint(1, 8)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def _zero(data: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(data))
    size = min(dice.randint(1, 9000), len(data) - start)
    data[start : start + size] = bytes(size)


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (_flip, _cut, _zero)


def _found(answer: SearchAnswer) -> list[tuple[str, int]]:
    matches = [finding.match for finding in answer.findings if finding.match is not None]
    return [(match.source.path, match.tokens) for match in matches]


def run(*, seed: int, is_long: bool) -> Outcome:
    """Each damage is asked about by a store that had the index open, and by one that opens it then."""
    dice, failures, count = random.Random(seed), [], 2_000 if is_long else 100
    told = 0
    with tempfile.TemporaryDirectory(prefix="r-") as name:
        sound, damaged = Path(name) / "sound", Path(name) / "damaged"
        index_of(sound, [document(f"o/r{n}", f"{n}.py", code(n), license="MIT") for n in range(_DOCUMENTS)])
        with sqlite3.connect(sound / "catalogue.sqlite") as catalogue:
            catalogue.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        catalogue.close()
        for _ in range(count):
            shutil.rmtree(damaged, ignore_errors=True)
            shutil.copytree(sound, damaged)
            query = code(dice.randrange(_DOCUMENTS)).encode()
            store = AttributionStore(Where(index=str(damaged)))
            expected = _found(store.search(query, by_hand=False))
            files = [path for path in sorted(damaged.rglob("*")) if path.suffix in (".seg", ".sqlite")]
            path, damage = dice.choice(files), dice.choice(DAMAGES)
            data = bytearray(path.read_bytes())
            damage(data, dice)
            path.write_bytes(data)  # the same file, cut off and written anew while it is open
            for one in (store, AttributionStore(Where(index=str(damaged)))):
                answer = one.search(query, by_hand=False)
                told += answer.kind == "none"
                if answer.kind == "index" and path.suffix == ".seg" and _found(answer) != expected:
                    failures.append(f"{damage.__name__} of {path.name}: {_found(answer)}, not {expected}")
                one.close()
            if path.suffix == ".seg" and bytes(data) != (sound / "segments" / path.name).read_bytes():
                opened = open_index(damaged)
                if not opened.verify():
                    failures.append(f"{damage.__name__} of {path.name}: verify finds nothing")
                opened.close()
    return Outcome(figure=f"{count} damages, {told} told: {len(failures)} wrong answers", failures=failures)
