"""Attribution: how fast an index is built, how large it is, how fast and how right its answers are.

    python -m benchmarks.attribution SOURCES… [--held-out SOURCES…] [--megabytes 200] [--index PATH|URL]
        [--excerpts 500] [--processes 1] [--peers] [--renamed] [--growth 25 50 100 200] [--json]

Sources are those of `starcoder-lsp index build`. Excerpts of 20 lines are cut from indexed files
and planted verbatim, reformatted, with 30 % of their names changed, and with one word in 20 edited;
held-out files give excerpts that should have no false match. `--peers` does the same work with
SQLite FTS5 over the texts, and with a plain text field (BM25) where the index is Elasticsearch:
what a user would do without us. CPU seconds are this process's: on a busy machine they say more
than the clock. With `--json` the last line is an object with all of it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from attribution.attribute import AUTOMATIC, Question, attribute
from attribution.build import build
from attribution.index import Index, is_remote, open_index, open_writer
from attribution.ingest import Sources
from attribution.lexer import lex
from attribution.shape import KEYWORDS
from attribution.source import Document, Kind, Match

LINES = 20
MIN_TOKENS = 40
_TOKEN = re.compile(rb"[\w\x80-\xff]+|[^\w\s]")
_NAME = re.compile(rb"[A-Za-z_]\w{2,}")


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A query, and the document it was cut from."""

    text: bytes
    document: Document


@dataclass(frozen=True, kw_only=True)
class Built:
    """One build."""

    megabytes: float
    documents: int
    wall_s: float
    cpu_s: float
    mb_per_s: float
    mb_per_cpu_s: float
    text_bytes_per_byte: float
    other_bytes_per_byte: float


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Many checks of one kind."""

    checks: int
    found: int
    p50_ms: float
    p95_ms: float
    p50_cpu_ms: float


def main() -> None:
    """Measure and print."""
    options = _parser().parse_args()
    documents = list(_first(options.sources, options.megabytes))
    dice = random.Random(options.seed)
    report: dict[str, Any] = {"growth": []}
    with tempfile.TemporaryDirectory() as scratch:
        for megabytes in options.growth or [options.megabytes]:
            url = options.index or str(Path(scratch) / f"index-{megabytes:g}")
            part = list(_cut(documents, megabytes))
            built = _build(part, url, options.processes, renamed=options.renamed)
            planted = list(_planted(part, options.excerpts, dice))
            index = open_index(url)
            verbatim = _ask(planted, index, AUTOMATIC)
            report["growth"].append({"build": asdict(built), "verbatim": asdict(verbatim)})
            _show(f"{built.megabytes:.0f} MB", {**asdict(built), **asdict(verbatim)})
            index.close()
        index = open_index(url)
        report |= _answers(index, planted, dice)
        if options.held_out:
            report["held_out"] = _held_out(part, index, options, dice)
        if options.peers:
            report["peers"] = {"sqlite_fts5": _fts5(part, planted, dice, Path(scratch))}
            if is_remote(url):
                report["peers"]["elasticsearch_bm25"] = _bm25(part, planted, dice, url)
        index.close()
    if options.json:
        print(json.dumps(report))


def _build(documents: Sequence[Document], url: str, processes: int, *, renamed: bool) -> Built:
    wall, cpu = time.perf_counter(), time.process_time()
    with open_writer(url, renamed=renamed) as writer:
        build(documents, writer, processes=processes)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    size = sum(len(document.text) for document in documents)
    index = open_index(url)
    info = index.info()
    index.close()
    return Built(
        megabytes=size / 1e6,
        documents=len(documents),
        wall_s=wall,
        cpu_s=cpu,
        mb_per_s=size / 1e6 / wall,
        mb_per_cpu_s=size / 1e6 / cpu,
        text_bytes_per_byte=info.text_disk_bytes / size,
        other_bytes_per_byte=info.other_disk_bytes / size,
    )


def _answers(index: Index, planted: Sequence[Excerpt], dice: random.Random) -> dict[str, Any]:
    changes: dict[str, Callable[[bytes, random.Random], bytes]] = {
        "verbatim": lambda text, _: text,
        "reformatted": _reformatted,
        "renamed": _renamed,
        "edited": _edited,
    }
    report = {}
    for name, change in changes.items():
        queries = [Excerpt(text=change(one.text, dice), document=one.document) for one in planted]
        for mode, question in (("automatic", AUTOMATIC), ("manual", Question())):
            asked = _ask(queries, index, question)
            report[f"{name}, {mode}"] = asdict(asked)
            _show(f"{name}, {mode}", asdict(asked))
    return report


def _ask(queries: Sequence[Excerpt], index: Index, question: Question) -> Asked:
    walls, cpus, found = [], [], 0
    for query in queries:
        wall, cpu = time.perf_counter(), time.process_time()
        matches = attribute(query.text, index, question)
        walls.append((time.perf_counter() - wall) * 1e3)
        cpus.append((time.process_time() - cpu) * 1e3)
        # Any file that holds most of it: the same lines often stand in several.
        found += any(_covers(match, query.text) for match in matches)
    return Asked(
        checks=len(queries),
        found=found,
        p50_ms=_percentile(walls, 0.5),
        p95_ms=_percentile(walls, 0.95),
        p50_cpu_ms=_percentile(cpus, 0.5),
    )


def _covers(match: Match, text: bytes) -> bool:
    return 2 * (match.query.end_byte - match.query.start_byte) >= len(text.strip())


def _held_out(
    indexed: Sequence[Document], index: Index, options: argparse.Namespace, dice: random.Random
) -> dict[str, Any]:
    """Matches of code that is not indexed: true copies there are, false ones there must not be."""
    texts = {document.source.sort_key: document.text for document in indexed}
    documents = list(_first(options.held_out, options.megabytes))
    excerpts = list(_planted(documents, options.excerpts, dice))
    kinds: Counter[str] = Counter()
    false = []
    times = []
    for one in excerpts:
        started = time.perf_counter()
        matches = attribute(one.text, index, AUTOMATIC)
        times.append((time.perf_counter() - started) * 1e3)
        kinds.update(match.kind.value for match in matches[:1])
        false += [match for match in matches if not _is_true(match, one.text, texts)]
    report = {
        "checks": len(excerpts),
        "matched": dict(kinds),
        "false": len(false),
        "p50_ms": _percentile(times, 0.5),
        "p95_ms": _percentile(times, 0.95),
    }
    _show("held out", report)
    return report


def _is_true(match: Match, query: bytes, texts: Mapping[tuple[str, str], bytes]) -> bool:
    """Whether a match holds, by means of its own: regular expressions and difflib on the texts."""
    ours = query[match.query.start_byte : match.query.end_byte]
    theirs = texts[match.source.sort_key][match.source_span.start_byte : match.source_span.end_byte]
    mine, other = _TOKEN.findall(ours), _TOKEN.findall(theirs)
    if match.kind is Kind.EXACT:
        return ours == theirs
    if match.kind is Kind.REFORMATTED:
        return bool(mine == other)
    if match.kind is Kind.NEAR:
        return SequenceMatcher(None, mine, other, autojunk=False).ratio() >= 0.7
    return len(mine) == len(other) and len(set(zip(mine, other, strict=True))) <= 1.2 * len(set(mine))


# Peers


def _fts5(
    documents: Sequence[Document], planted: Sequence[Excerpt], dice: random.Random, scratch: Path
) -> dict[str, Any]:
    path = scratch / "fts5.sqlite"
    wall, cpu = time.perf_counter(), time.process_time()
    connection = sqlite3.connect(path)
    connection.execute("CREATE VIRTUAL TABLE files USING fts5(text)")
    rows = ((at, document.text.decode(errors="replace")) for at, document in enumerate(documents))
    connection.executemany("INSERT INTO files (rowid, text) VALUES (?, ?)", rows)
    connection.commit()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    size = sum(len(document.text) for document in documents)

    def top(text: bytes) -> list[int]:
        words = sorted({word.decode() for word in re.findall(rb"[A-Za-z0-9_]+", text)})
        query = " OR ".join(f'"{word}"' for word in words)
        return [
            row[0]
            for row in connection.execute(
                "SELECT rowid FROM files WHERE files MATCH ? ORDER BY rank LIMIT 10", (query,)
            )
        ]

    report = _peer(documents, planted[:100], dice, top)
    disk = path.stat().st_size
    connection.close()
    report |= {"mb_per_s": size / 1e6 / wall, "mb_per_cpu_s": size / 1e6 / cpu, "bytes_per_byte": disk / size}
    _show("SQLite FTS5", report)
    return report


def _bm25(
    documents: Sequence[Document], planted: Sequence[Excerpt], dice: random.Random, url: str
) -> dict[str, Any]:
    from elasticsearch import helpers

    from attribution.elastic_place import Place, connect

    place = Place.parse(url)
    client, name = connect(place), f"{place.name}-bm25"
    client.options(ignore_status=404).indices.delete(index=name)
    client.indices.create(index=name, settings={"refresh_interval": "-1", "number_of_replicas": 0})
    wall = time.perf_counter()
    actions = (
        {"_index": name, "_id": str(at), "text": document.text.decode(errors="replace")}
        for at, document in enumerate(documents)
    )
    helpers.bulk(client, actions, request_timeout=300)
    client.indices.refresh(index=name)
    wall = time.perf_counter() - wall
    size = sum(len(document.text) for document in documents)

    def top(text: bytes) -> list[int]:
        query = {"match": {"text": {"query": text.decode(errors="replace")}}}
        answer = client.search(index=name, query=query, size=10, source=False)
        return [int(hit["_id"]) for hit in answer["hits"]["hits"]]

    report = _peer(documents, planted[:100], dice, top)
    disk = client.indices.stats(index=name, metric="store")["_all"]["primaries"]["store"]["size_in_bytes"]
    client.indices.delete(index=name)
    client.close()
    report |= {"mb_per_s": size / 1e6 / wall, "bytes_per_byte": disk / size}
    _show("Elasticsearch BM25", report)
    return report


def _peer(
    documents: Sequence[Document],
    planted: Sequence[Excerpt],
    dice: random.Random,
    top: Callable[[bytes], list[int]],
) -> dict[str, Any]:
    """Whether the file comes first, and among ten; no peer says which lines, or that it is none."""
    report: dict[str, Any] = {"checks": len(planted)}
    for name, change in (("verbatim", None), ("edited", _edited)):
        times, first, ten = [], 0, 0
        for one in planted:
            text = change(one.text, dice) if change else one.text
            started = time.perf_counter()
            ranked = top(text)
            times.append((time.perf_counter() - started) * 1e3)
            found = [documents[at].source == one.document.source for at in ranked]
            first += bool(found and found[0])
            ten += any(found)
        report |= {f"{name} first": first, f"{name} in ten": ten}
        report |= {f"{name} p50_ms": _percentile(times, 0.5), f"{name} p95_ms": _percentile(times, 0.95)}
    return report


# Excerpts


def _planted(documents: Sequence[Document], count: int, dice: random.Random) -> Iterator[Excerpt]:
    """Twenty lines each from files drawn at random."""
    drawn = 0
    for _ in range(100 * count):
        document = dice.choice(documents)
        lines = document.text.splitlines(keepends=True)
        if len(lines) <= LINES:
            continue
        start = dice.randrange(len(lines) - LINES)
        text = b"".join(lines[start : start + LINES])
        if len(lex(text)) >= MIN_TOKENS:
            yield Excerpt(text=text, document=document)
            drawn += 1
            if drawn == count:
                return


def _reformatted(text: bytes, dice: random.Random) -> bytes:
    return re.sub(rb"[ \t]+|\n", lambda _: dice.choice([b" ", b"  ", b"\t", b"\n", b"\r\n    "]), text)


def _renamed(text: bytes, dice: random.Random) -> bytes:
    names = sorted(set(_NAME.findall(text)) - set(KEYWORDS.split()))
    changed = {name: b"renamed_%d" % at for at, name in enumerate(names) if dice.random() < 0.3}
    return re.sub(rb"[A-Za-z_]\w*", lambda name: changed.get(name[0], name[0]), text)


def _edited(text: bytes, dice: random.Random) -> bytes:
    parts = re.split(rb"(\s+)", text)
    for start in range(0, len(parts), 40):  # 20 words and what is between them
        words = [at for at in range(start, min(start + 40, len(parts)), 2) if parts[at]]
        if words:
            parts[dice.choice(words)] = b"edited"
    return b"".join(parts)


def _first(names: Sequence[str], megabytes: float) -> Iterator[Document]:
    yield from _cut(Sources(names=names).documents(Counter()), megabytes)


def _cut(documents: Any, megabytes: float) -> Iterator[Document]:
    size = 0
    for document in documents:
        if size >= megabytes * 1e6:
            return
        size += len(document.text)
        yield document


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def _show(name: str, values: dict[str, Any]) -> None:
    shown = (
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in values.items()
    )
    print(f"{name:24} {', '.join(shown)}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--held-out", nargs="+", default=[])
    parser.add_argument("--megabytes", type=float, default=200.0)
    parser.add_argument("--growth", nargs="+", type=float, default=[])
    parser.add_argument(
        "--index", help="Elasticsearch URL (must not exist) or folder; default: a temporary one"
    )
    parser.add_argument("--excerpts", type=int, default=500)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--renamed", action="store_true", help="an index with the second channel")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    main()
