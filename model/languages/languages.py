"""The table of languages as a whole: which is meant by an editor's id or a file's name.

Names are github-linguist's. What is not listed is None here; its text may still be read as
`UNKNOWN`, roughly.
"""

from __future__ import annotations

from functools import cache
from pathlib import PurePath

from model.languages.language import Language
from model.languages.table import curly, functional, markup_and_data, scripting
from model.languages.table.markup_and_data import PROSE, UNKNOWN

__all__ = [
    "LANGUAGES",
    "PROSE",
    "UNKNOWN",
    "language_id_of_path",
    "language_of_id",
    "language_of_path",
    "relatedness",
]

LANGUAGES: tuple[Language, ...] = (
    *curly.CURLY,
    *scripting.SCRIPTING,
    *functional.FUNCTIONAL,
    *markup_and_data.MARKUP_AND_DATA,
)
# Languages whose files include, import or sit beside each other's, by the editors' ids.
_RELATED: tuple[frozenset[str], ...] = (
    frozenset({"c", "cpp", "objective-c", "objective-cpp", "cuda-cpp"}),
    frozenset({"javascript", "javascriptreact", "typescript", "typescriptreact", "vue", "svelte", "astro"}),
    frozenset({"html", "css", "scss", "less", "javascript", "typescript", "vue", "svelte", "astro"}),
    frozenset({"java", "kotlin", "scala", "groovy"}),
    frozenset({"python", "cython", "jupyter"}),
    frozenset({"shellscript", "bash", "zsh", "fish", "dockerfile", "makefile"}),
    frozenset({"json", "jsonc", "yaml", "toml"}),
)


def language_of_id(language_id: str) -> Language | None:
    """The language that an editor calls so; None if it is not in the table."""
    return _by_id().get(language_id.lower())


def language_of_path(path: str) -> Language | None:
    """The language of a file of that name; None if it is not in the table."""
    name = PurePath(path).name.lower()
    return _by_file().get(name) or _by_extension().get(PurePath(name).suffix.lstrip("."))


def language_id_of_path(path: str) -> str | None:
    """What editors call the language of a file of that name."""
    language = language_of_path(path)
    return None if language is None else language.ids.split()[0]


def relatedness(language_id: str, other_id: str) -> float:
    """How much code in `other_id` helps to write `language_id`: 1 the same, 0.7 related, 0.3 neither."""
    if language_id == other_id:
        return 1.0
    return 0.7 if any(language_id in group and other_id in group for group in _RELATED) else 0.3


@cache
def _by_id() -> dict[str, Language]:
    return {each: language for language in LANGUAGES for each in language.ids.split()}


@cache
def _by_file() -> dict[str, Language]:
    return {each: language for language in LANGUAGES for each in language.files.split()}


@cache
def _by_extension() -> dict[str, Language]:
    # Of two languages with one extension, the first in the table has it.
    return {each: language for language in reversed(LANGUAGES) for each in language.extensions.split()}
