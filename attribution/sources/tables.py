"""Documents from tables: JSONL, Parquet and streamed Hugging Face datasets.

Columns may have the names of The Stack, of our own corpus (`training/`), or those that other code
datasets use for the same things.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any

from attribution.errors import SourceError
from attribution.source import Source, SourceDocument
from attribution.sources.provenance import origin_of

TABLE_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".json.gz", ".json.zst", ".parquet")
_BATCH_ROWS = 256

# For each of our fields, the columns it may stand in; the first that is there counts.
COLUMNS: dict[str, tuple[str, ...]] = {
    "text": ("content", "text", "code"),
    "repository": ("max_stars_repo_name", "repository", "repo_name", "repository_name", "repo"),
    "path": ("max_stars_repo_path", "path", "file_path", "filename"),
    "license": ("max_stars_repo_licenses", "license", "licenses", "detected_licenses"),
    "revision": ("max_stars_repo_head_hexsha", "package", "revision", "revision_id", "commit", "commit_id"),
    "url": ("url", "html_url"),
}
_STACK_REVISION = "max_stars_repo_head_hexsha"


def is_table(path: Path) -> bool:
    """Whether a file's name is that of a table of documents."""
    return path.name.lower().endswith(TABLE_SUFFIXES)


def read_table(path: Path) -> Iterator[SourceDocument]:
    """The documents of a JSONL or Parquet file. Raises `SourceError` with the file and line at fault."""
    for where, row in read_rows(
        path.resolve(), {column for columns in COLUMNS.values() for column in columns}
    ):
        yield document_of(row, where)


def read_rows(path: Path, columns: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place for messages, row) of a JSONL or Parquet file; of Parquet only the named columns are read."""
    yield from _parquet(path, columns) if path.suffix == ".parquet" else _jsonl(path)


def read_dataset(
    name: str, *, split: str = "train", folder: str | None = None, revision: str | None = None
) -> Iterator[SourceDocument]:
    """Stream the documents of a Hugging Face dataset, or of a folder of it. Raises `SourceError`."""
    for where, row in dataset_rows(name, split=split, folder=folder, revision=revision):
        yield document_of(row, where)


def dataset_rows(
    name: str, *, split: str = "train", folder: str | None = None, revision: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stream (place, row) of a dataset of the hub; needs the extra `attribution`. Raises `SourceError`."""
    try:
        import datasets  # type: ignore[import-untyped] # it has no types
        import httpx
    except ImportError as error:
        raise SourceError(
            f"{name}: streaming a dataset needs `pip install 'starcoder-lsp[attribution]'`"
        ) from error
    try:
        rows = datasets.load_dataset(name, split=split, data_dir=folder, revision=revision, streaming=True)
        for number, row in enumerate(rows, start=1):
            yield f"{name} row {number}", row
    except (OSError, ValueError, httpx.HTTPError, datasets.exceptions.DatasetsError) as error:
        raise SourceError(
            f"{name}: cannot stream this dataset: {error}; is there a network? A gated one (The Stack is) "
            "needs `hf auth login` first; one that lies here is named by its folder of Parquet or JSONL files"
        ) from error


def document_of(row: Mapping[str, Any], where: str) -> SourceDocument:
    """One row as a document; raises `SourceError` that names the columns it lacks."""
    text, repository, path = (_field(row, name) for name in ("text", "repository", "path"))
    if not isinstance(text, str | bytes) or not isinstance(path, str):
        lacks = "text" if not isinstance(text, str | bytes) else "path"
        raise SourceError(
            f"{where}: has no column for the {lacks} ({', '.join(COLUMNS[lacks])}); it has {', '.join(row)}"
        )
    return SourceDocument(
        source=Source(
            repository=str(repository) if repository else "unknown",
            # Rows of no repository may have one path and be different files.
            origin=None if repository else origin_of(where),
            path=path,
            revision=_optional(_field(row, "revision")),
            license=_licence(_field(row, "license")),
            url=_optional(_field(row, "url")) or _url(row, repository, path),
        ),
        # Lone surrogates stand in some datasets; nothing that is compared depends on how they are spelt.
        text=text if isinstance(text, bytes) else text.encode("utf-8", errors="surrogatepass"),
    )


def _field(row: Mapping[str, Any], name: str) -> Any:
    return next((row[column] for column in COLUMNS[name] if row.get(column) is not None), None)


def _optional(value: Any) -> str | None:
    return str(value) if value else None


def _licence(value: Any) -> str | None:
    """One expression; of several detected licences all hold."""
    if isinstance(value, str) or value is None:
        return value or None
    return " AND ".join(str(one) for one in value) or None


def _url(row: Mapping[str, Any], repository: Any, path: str) -> str | None:
    """The Stack is of GitHub, and so are the packages of our manifests."""
    if not repository or str(repository).count("/") != 1 or ":" in str(repository):
        return None
    if revision := row.get(_STACK_REVISION):
        return f"https://github.com/{repository}/blob/{revision}/{path}"
    return f"https://github.com/{repository}"


def _jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        with _open_text(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{path} line {number}", _row(json.loads(line))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise SourceError(f"{path} line {max(number, 1)}: cannot read this: {error}") from error


def _row(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield lines
    elif path.suffix == ".zst":
        # Unlike zstandard's reader, Arrow's reads on after the first frame and reports a truncated file.
        with _arrow(path).input_stream(str(path), compression="zstd") as raw:
            yield io.TextIOWrapper(raw, encoding="utf-8")
    else:
        with path.open(encoding="utf-8") as lines:
            yield lines


def _parquet(path: Path, columns: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    pyarrow = _arrow(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            names = table.schema_arrow.names
            known = [name for name in names if name in columns] or names  # all, for a message that names them
            numbers = count(1)
            for batch in table.iter_batches(batch_size=_BATCH_ROWS, columns=known):
                yield from ((f"{path} row {next(numbers)}", row) for row in batch.to_pylist())
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise SourceError(f"{path}: cannot read this Parquet file: {error}") from error


def _arrow(path: Path) -> Any:
    """pyarrow, of the extra `attribution`."""
    try:
        import pyarrow  # type: ignore[import-untyped] # it has no types
        import pyarrow.parquet  # type: ignore[import-untyped] # it has no types
    except ImportError as error:
        raise SourceError(f"{path}: this needs `pip install 'starcoder-lsp[attribution]'`") from error
    return pyarrow
