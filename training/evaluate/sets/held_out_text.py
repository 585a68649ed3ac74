"""Held-out documents as text: files of JSON lines with `text`, `repository`, `path` and `language`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.errors import EvaluationError
from training.evaluate.sets.problems import read_json_lines


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """One document."""

    text: str
    repository: str
    path: str
    language: str


def read_held_out(folder: Path, languages: Sequence[str] = ()) -> list[HeldOut]:
    """The documents of a folder (or one file), of these languages or all. Raises EvaluationError."""
    files = sorted(folder.glob("*.jsonl*")) if folder.is_dir() else [folder]
    wanted = {language.lower() for language in languages}
    documents = [
        HeldOut(
            text=str(record.get("text", "")),
            repository=str(record.get("repository", "")),
            path=str(record.get("path", "")),
            language=str(record.get("language", "")),
        )
        for file in files
        for record in read_json_lines(file)
    ]
    chosen = [each for each in documents if each.text and (not wanted or each.language.lower() in wanted)]
    if not chosen:
        known = ", ".join(sorted({each.language for each in documents})) or "no document"
        raise EvaluationError(f"{folder} holds no text of {', '.join(languages) or 'any language'}: {known}")
    return chosen
