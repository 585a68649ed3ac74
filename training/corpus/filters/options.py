"""What a build does: which table of languages, which filters, and what is asked for beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from training.corpus.errors import CorpusError
from training.corpus.filters.quality import PAPER_FILTERS, STARTER_FILTERS, QualityFilter
from training.corpus.records.document import COMMITS, ISSUES
from training.corpus.records.languages import LanguageTable, TableName, language_table

# The paper kept the natural volume of every language but these (arXiv 2305.06161, §3.6 and table 1).
PAPER_WEIGHTS: Mapping[str, int] = MappingProxyType(
    {"JSON": 10**9, "YAML": 10**9, "CSS": 3 * 10**9, COMMITS: 32 * 10**9}
)
NOTEBOOK_FORMS = frozenset({"scripts", "structured"})


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What a build does. `weights`: at most so many bytes of a language's training text.

    `table` also chooses the quality filters: `starcoder` the paper's, `starter` those and ours.
    `licences` and `opt_out` are lists, `decontaminate` evaluation problems: files. `ner` names a
    model that finds names. `held_out_share` is the share of repositories that is held out, whole.
    """

    table: TableName = TableName.STARCODER
    licences: tuple[str, ...] = ()
    unlicensed_kept: bool = False
    opt_out: tuple[str, ...] = ()
    decontaminate: tuple[str, ...] = ()
    near_dedup: bool = True
    redact_pii: bool = True
    ner: str | None = None
    notebooks: tuple[str, ...] = ("scripts", "structured")
    max_file_bytes: int = 1_000_000
    weights: Mapping[str, int] = field(default_factory=lambda: dict(PAPER_WEIGHTS))
    held_out_share: float = 0.0

    def __post_init__(self) -> None:
        if self.max_file_bytes <= 0:
            raise CorpusError(f"max_file_bytes {self.max_file_bytes} must be positive")
        if not 0 <= self.held_out_share < 1:
            raise CorpusError(f"held_out_share {self.held_out_share} must be from 0 to below 1")
        if unknown := set(self.notebooks) - NOTEBOOK_FORMS:
            raise CorpusError(f"notebooks {unknown.pop()!r}: expected {' or '.join(sorted(NOTEBOOK_FORMS))}")
        if wrong := [name for name, most in self.weights.items() if most <= 0]:
            raise CorpusError(
                f"the weight of {wrong[0]} must be positive bytes; leave a language out elsewhere"
            )

    @property
    def languages(self) -> LanguageTable:
        """The table by its name."""
        return language_table(self.table)

    @property
    def filters(self) -> tuple[QualityFilter, ...]:
        """The quality filters, in order."""
        return STARTER_FILTERS if self.table is TableName.STARTER else PAPER_FILTERS

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> BuildOptions:
        """The inverse of `to_plain`."""
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in raw.items() if key in known
        }
        return cls(**{**values, "table": TableName(values["table"])})


def paths(names: tuple[str, ...]) -> tuple[Path, ...]:
    """File names as paths."""
    return tuple(Path(name) for name in names)


def file_names(files: Iterable[Path] | None) -> tuple[str, ...]:
    """Files as options hold them: absolute, since a task may run in another folder."""
    return tuple(str(file.expanduser().absolute()) for file in files or ())


# Documents that are compared with others of their kind: a commit resembles its file, and stays.
NEAR_COMPARED_EXCEPT = frozenset({COMMITS, ISSUES})
