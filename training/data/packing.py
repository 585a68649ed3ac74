"""Documents to memory-mapped token shards, once per corpus and tokenizer.

A shard is three files: `NAME.tokens` (uint16 or uint32, little endian), `NAME.starts.npy` (int64,
the first token of each document and one past the last) and `NAME.bytes.npy` (int64, UTF-8 bytes of
each document's text, for bits per byte). `packed.json` names them all. End-of-document tokens and
FIM are not stored: `training.data.data` adds them when it cuts samples.

The repository, file and star tags of arXiv 2305.06161, §5.1 are stored, each with p = .2, by a coin that
depends on the document's hash alone; the last only where stars are known. Issues, commits and notebooks
have tokens of their own, at the places that the record names, and no tags.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.corpus.formats.code import tags
from training.corpus.formats.marked import segments
from training.data.encoding import Encoding, open_encoding
from training.errors import PackingError

FORMAT_VERSION = 1
INDEX_FILE = "packed.json"
TAG_RATE = 0.2

TokenIds = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class PackedShardInfo:
    """One shard of one language, as `packed.json` has it."""

    name: str
    language: str
    n_documents: int
    n_tokens: int
    text_bytes: int


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """`processes` only changes the speed; `seed` only the tags."""

    tag_rate: float = TAG_RATE
    seed: int = 0
    processes: int = 1


def pack(
    source: Path,
    target: Path,
    tokenizer: Path | None,
    options: PackOptions = PackOptions(),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[PackedShardInfo]:
    """Tokenise every `*.jsonl(.gz)` of a folder. One shard per file and language.

    The result is the same for any number of processes. Raises PackingError when there is nothing
    to pack. `progress` is told (files done, files).
    """
    files = document_files(source)
    target.mkdir(parents=True, exist_ok=True)
    identity = tokenizer_sha256(tokenizer)
    shards: list[PackedShardInfo] = []
    for done, of_file in enumerate(_packed_files(files, target, tokenizer, options), 1):
        shards += of_file
        progress(done, len(files))
    shards.sort(key=lambda shard: shard.name)
    if tokenizer_sha256(tokenizer) != identity:
        raise PackingError(f"{tokenizer} changed while the documents were packed: pack again")
    _write_index(target, tokenizer, options, shards)
    return shards


def document_files(source: Path) -> list[Path]:
    """The `*.jsonl(.gz)` of a folder, by name. Raises PackingError when there are none."""
    files = sorted(path for path in source.glob("*.jsonl*") if path.suffix in (".jsonl", ".gz"))
    if not files:
        raise PackingError(f"no *.jsonl or *.jsonl.gz in {source}: build the corpus first")
    return files


def wait_for_packed(folders: Sequence[Path]) -> None:
    """Until another process of torchrun has packed them; if that one fails, torchrun ends this one."""
    while not all(is_packed(folder) for folder in folders):
        time.sleep(1)


def is_packed(folder: Path) -> bool:
    """Whether a folder holds a whole packed corpus: its index is written last."""
    return (folder / INDEX_FILE).is_file()


def _packed_files(
    files: list[Path], target: Path, tokenizer: Path | None, options: PackOptions
) -> Iterator[list[PackedShardInfo]]:
    """The shards of each file, in the order in which they are done."""
    if options.processes == 1:
        yield from (_pack_file(path, target, tokenizer, options) for path in files)
        return
    # spawn: forking a process that has torch's threads may deadlock.
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_pack_file, path, target, tokenizer, options) for path in files]
        for job in as_completed(jobs):
            yield job.result()


def _write_index(
    target: Path, tokenizer: Path | None, options: PackOptions, shards: list[PackedShardInfo]
) -> None:
    encoding = open_encoding(tokenizer)
    index = {
        "format_version": FORMAT_VERSION,
        "dtype": _dtype(encoding.vocab_size).__name__,
        "vocab_size": encoding.vocab_size,
        "tokenizer_sha256": tokenizer_sha256(tokenizer),
        "tag_rate": options.tag_rate,
        "seed": options.seed,
        "shards": [asdict(shard) for shard in shards],
    }
    scratch = target / f".{INDEX_FILE}"
    scratch.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, target / INDEX_FILE)  # last: a killed build leaves no index, so no half corpus


def tokenizer_sha256(tokenizer: Path | None) -> str:
    """Identity of the tokenizer, so that shards of another one are never trained on."""
    if tokenizer is None:
        return "bytes"
    return hashlib.sha256((tokenizer / "tokenizer.json").read_bytes()).hexdigest()


def _pack_file(
    path: Path, target: Path, tokenizer: Path | None, options: PackOptions
) -> list[PackedShardInfo]:
    encoding = open_encoding(tokenizer)
    by_language: dict[str, _ShardBuilder] = {}
    for record in read_records(path):
        builder = by_language.setdefault(record["language"], _ShardBuilder())
        builder.add(tagged_ids(record, encoding, options), len(record["text"].encode()))
    stem = path.name.split(".jsonl")[0]
    return [
        builder.write(target, f"{stem}.{i}", language, _dtype(encoding.vocab_size))
        for i, (language, builder) in enumerate(sorted(by_language.items()))
    ]


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of one file, as many fields as packing needs. Raises PackingError that names the line."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as lines
    ):
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                fields = {key: record[key] for key in ("repository", "path", "language", "text", "sha256")}
                yield fields | {key: record[key] for key in ("stars", "special") if key in record}
            except (ValueError, KeyError) as error:
                raise PackingError(
                    f"{path}, line {number}: not a document of the corpus ({error!r})"
                ) from error


def tagged_ids(record: Mapping[str, Any], encoding: Encoding, options: PackOptions) -> list[int]:
    """`<reponame>R<filename>F<gh_stars>S\\nTEXT`, each tag on its own coin; the newline only after a tag."""
    special = record.get("special", ())
    body = marked_ids(record["text"], special, encoding)
    if special:
        return body
    coins = np.random.default_rng([options.seed, int(record["sha256"][:15], 16)]).random(3)
    coins[2] += "stars" not in record
    head = tags(
        record["repository"], record["path"], record.get("stars"), (coins < options.tag_rate).tolist()
    )
    return marked_ids(head.text, head.special, encoding) + body


def marked_ids(text: str, special: Sequence[Sequence[int]], encoding: Encoding) -> list[int]:
    """Ids of a text in which the (start, end) characters `special` stand for tokens."""
    ids: list[int] = []
    for piece in segments(text, [(start, end) for start, end in special]):
        ids += [encoding.special_ids[piece.text]] if piece.is_token else encoding.encode(piece.text)
    return ids


class _ShardBuilder:
    def __init__(self) -> None:
        self.ids: list[npt.NDArray[np.uint32]] = []
        self.text_bytes: list[int] = []

    def add(self, ids: list[int], text_bytes: int) -> None:
        self.ids.append(np.asarray(ids, dtype=np.uint32))
        self.text_bytes.append(text_bytes)

    def write(
        self, folder: Path, name: str, language: str, dtype: type[np.unsignedinteger[Any]]
    ) -> PackedShardInfo:
        tokens = np.concatenate(self.ids).astype(dtype)
        starts = np.cumsum([0, *(len(ids) for ids in self.ids)], dtype=np.int64)
        tokens.tofile(folder / f"{name}.tokens")
        np.save(folder / f"{name}.starts.npy", starts)
        np.save(folder / f"{name}.bytes.npy", np.asarray(self.text_bytes, dtype=np.int64))
        return PackedShardInfo(
            name=name,
            language=language,
            n_documents=len(self.ids),
            n_tokens=len(tokens),
            text_bytes=sum(self.text_bytes),
        )


def _dtype(vocab_size: int) -> type[np.uint16 | np.uint32]:
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


class PackedShard:
    """The documents of one shard, memory-mapped."""

    def __init__(self, folder: Path, info: PackedShardInfo, dtype: npt.DTypeLike) -> None:
        self.info = info
        self.starts: npt.NDArray[np.int64] = np.load(folder / f"{info.name}.starts.npy")
        self.text_bytes: npt.NDArray[np.int64] = np.load(folder / f"{info.name}.bytes.npy")
        self._tokens: TokenIds = np.memmap(folder / f"{info.name}.tokens", dtype=dtype, mode="r")
        if len(self._tokens) != info.n_tokens or int(self.starts[-1]) != info.n_tokens:
            raise PackingError(f"{folder / info.name}.tokens is truncated: pack the corpus again")

    def document(self, index: int) -> TokenIds:
        """The ids of one document."""
        return self._tokens[self.starts[index] : self.starts[index + 1]]


class PackedCorpus:
    """All shards of a packed folder, by language."""

    def __init__(self, folder: Path, *, tokenizer: Path | None) -> None:
        try:
            index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise PackingError(f"{folder / INDEX_FILE} does not exist: pack the corpus first") from error
        if index["format_version"] != FORMAT_VERSION:
            raise PackingError(
                f"{folder} has format {index['format_version']}, not {FORMAT_VERSION}: pack again"
            )
        if index["tokenizer_sha256"] != tokenizer_sha256(tokenizer):
            raise PackingError(f"{folder} was packed with another tokenizer than {tokenizer}: pack again")
        self.vocab_size = int(index["vocab_size"])
        self.shards: dict[str, list[PackedShard]] = {}
        for info in (PackedShardInfo(**raw) for raw in index["shards"]):
            self.shards.setdefault(info.language, []).append(PackedShard(folder, info, index["dtype"]))

    def n_tokens(self, language: str) -> int:
        """Tokens of a language, without end-of-document tokens."""
        return sum(shard.info.n_tokens for shard in self.shards[language])

    def text_bytes(self, language: str) -> int:
        """UTF-8 bytes of a language's documents."""
        return sum(shard.info.text_bytes for shard in self.shards[language])
