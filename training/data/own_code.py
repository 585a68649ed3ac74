"""A folder of the user's own code as documents: what of it is trained on, and what is left out and why.

What .gitignore names, hidden folders and secret files are never opened. Keys, passwords and addresses in
the others are replaced as in any corpus. Of the corpus's filters only those run that tell code from what
programs wrote: nobody's own style is bad data to him.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

from model.local.gitignore import Patterns, why_ignored
from model.local.secret_files import is_secret
from training.corpus.filters import quality
from training.corpus.pii.redact import redact
from training.corpus.records.document import CorpusDocument
from training.corpus.records.languages import HEAD_CHARS, TableName, language_table
from training.errors import PackingError

MAX_FILE_BYTES = 1_000_000
HELD_OUT_SHARE = 0.1
_FILTERS = (
    quality.minified,
    quality.generated,
    quality.compiled,
    quality.longest_line,
    quality.mostly_digits,
)
# Why a file is left out, besides the corpus's reasons.
IGNORED, SECRET, NO_LANGUAGE = "named by .gitignore", "a secret file", "not source code"
TOO_LARGE, NOT_TEXT, DUPLICATE = f"larger than {MAX_FILE_BYTES:,} bytes", "not UTF-8 text", "a copy"


@dataclass(frozen=True, kw_only=True)
class OwnCode:
    """The documents in the order of their paths; files left out and values replaced, counted by kind."""

    folder: Path
    documents: Sequence[CorpusDocument]
    left_out: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)

    def split(self) -> tuple[list[CorpusDocument], list[CorpusDocument]]:
        """(to train on, held out): about a tenth of the bytes by the paths' hashes, so that it is always
        the same files, and at least one on each side. Raises PackingError for fewer than two files."""
        if len(self.documents) < 2:
            raise PackingError(
                f"{self.folder} gives {len(self.documents)} file(s) to train on, and one has to be held out: "
                f"name a larger folder{_told(self.left_out)}"
            )
        by_chance = sorted(self.documents, key=lambda one: hashlib.sha256(one.path.encode()).digest())
        wanted = HELD_OUT_SHARE * sum(len(one.text) for one in by_chance)
        held_out: set[str] = set()
        held_chars = 0
        for one in by_chance:
            if held_chars + len(one.text) <= wanted:
                held_out.add(one.path)
                held_chars += len(one.text)
        if not held_out:  # every file is more than a tenth
            held_out.add(min(by_chance, key=lambda one: len(one.text)).path)
        train = [one for one in self.documents if one.path not in held_out]
        return train, [one for one in self.documents if one.path in held_out]


def read_own_code(folder: Path) -> OwnCode:
    """Read a folder. Raises PackingError when it is none."""
    if not folder.is_dir():
        raise PackingError(f"{folder} is not a folder: --on takes the folder of your code")
    left_out: Counter[str] = Counter()
    replaced: Counter[str] = Counter()
    seen: set[str] = set()
    documents: list[CorpusDocument] = []
    for path in files_of(folder, left_out):
        document = _document(folder, path, left_out)
        if document is None:
            continue
        if document.sha256 in seen:
            left_out[DUPLICATE] += 1
            continue
        seen.add(document.sha256)
        clean, values = redact(document)
        replaced.update(value.kind.name.lower() for value in values)
        documents.append(clean)
    return OwnCode(folder=folder, documents=documents, left_out=left_out, replaced=replaced)


def files_of(folder: Path, left_out: Counter[str]) -> Iterator[Path]:
    """Regular files in the order of their paths, without hidden, ignored and secret ones."""
    exclude = _patterns(folder / ".git" / "info" / "exclude")
    yield from _walk(folder, PurePosixPath(), [(PurePosixPath(), exclude)], left_out)


def _walk(
    root: Path,
    below: PurePosixPath,
    ignored: list[tuple[PurePath, Patterns]],
    left_out: Counter[str],
) -> Iterator[Path]:
    ignored = [*ignored, (below, _patterns(root / below / ".gitignore"))]
    for entry in sorted(os.scandir(root / below), key=lambda entry: entry.name):
        path = below / entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name == ".git" or (is_folder and entry.name.startswith(".")):
            continue
        if why_ignored(ignored, path, is_folder=is_folder) is not None:
            left_out[IGNORED] += 1
        elif is_secret(path, is_folder=is_folder):
            left_out[SECRET] += 1
        elif is_folder:
            yield from _walk(root, path, ignored, left_out)
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def _patterns(file: Path) -> Patterns:
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return Patterns.of_text(text, origin=str(file))


def _document(root: Path, file: Path, left_out: Counter[str]) -> CorpusDocument | None:
    """The file as a document, or None and its reason counted."""
    path = file.relative_to(root).as_posix()
    if file.stat().st_size > MAX_FILE_BYTES:
        left_out[TOO_LARGE] += 1
        return None
    try:
        text = file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        left_out[NOT_TEXT] += 1
        return None
    rule = language_table(TableName.STARTER).rule_for(path, text[:HEAD_CHARS])
    if rule is None or not text.strip():
        left_out[NO_LANGUAGE] += 1
        return None
    repository = root.resolve().name
    document = CorpusDocument(
        repository=repository, path=path, language=rule.language, license="", package="", text=text
    )
    if quality.vendored(path):
        left_out["a vendored copy"] += 1
        return None
    reason = next((why for check in _FILTERS if (why := check(document, rule)) is not None), None)
    if reason is not None:
        left_out[str(reason)] += 1
        return None
    return document


def as_one_language(documents: Sequence[CorpusDocument], name: str) -> list[CorpusDocument]:
    """The documents under one language's name, so that no small language is left out of the mixture."""
    return [replace(one, language=name) for one in documents]


def _told(left_out: Counter[str]) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.most_common())
    return f" (left out: {reasons})" if reasons else ""
