"""Which extension is which language, and how its quality limits differ from the usual ones.

The limits follow the BigCode inspection table (arXiv 2305.06161, §3.2 and its per-extension
table): longest line 1,000, alphanumeric 25 %; Markdown, reStructuredText, SQL and TeX have no
line limit; data formats need 50 % letters. Names are github-linguist's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class LanguageRule:
    """A language and its limits; None switches a limit off. Shares are of characters, 0 to 1."""

    language: str
    longest_line_max_chars: int | None = 1000
    mean_line_max_chars: int | None = 100
    alphanumeric_min_share: float = 0.25
    alphabetic_min_share: float | None = None
    min_chars: int = 40
    max_chars: int | None = None


def _code(language: str) -> LanguageRule:
    return LanguageRule(language=language)


def _prose(language: str) -> LanguageRule:
    return LanguageRule(language=language, longest_line_max_chars=None, mean_line_max_chars=None)


def _data(language: str, longest_line_max_chars: int | None) -> LanguageRule:
    return LanguageRule(
        language=language,
        longest_line_max_chars=longest_line_max_chars,
        alphabetic_min_share=0.5,
        min_chars=50,
        max_chars=5000,
    )


_RULES: tuple[tuple[LanguageRule, str], ...] = (
    (_code("Python"), "py pyi"),
    (_code("Cython"), "pyx pxd pxi"),
    (_code("JavaScript"), "js mjs cjs jsx"),
    (_code("TypeScript"), "ts mts cts tsx"),
    (_code("C"), "c h"),
    (_code("C++"), "cc cpp cxx hpp hh"),
    (_code("CUDA"), "cu cuh"),
    (_code("CSS"), "css"),
    (_code("SCSS"), "scss"),
    (_code("Less"), "less"),
    (_code("GLSL"), "glsl vert frag"),
    (_code("Go"), "go"),
    (_code("HTML"), "html htm"),
    (_code("Java"), "java"),
    (_code("Kotlin"), "kt kts"),
    (_code("Lua"), "lua"),
    (_code("PHP"), "php"),
    (_code("Ruby"), "rb"),
    (_code("Rust"), "rs"),
    (_code("Scala"), "scala"),
    (_code("Shell"), "sh bash"),
    (_code("Svelte"), "svelte"),
    (_code("Swift"), "swift"),
    (_code("TOML"), "toml"),
    (_code("Vue"), "vue"),
    (_prose("Markdown"), "md"),
    (_prose("reStructuredText"), "rst"),
    (_prose("SQL"), "sql"),
    (_prose("TeX"), "tex"),
    (_data("JSON", None), "json"),
    (_data("YAML", 1000), "yaml yml"),
)
RULES: Mapping[str, LanguageRule] = MappingProxyType(
    {extension: rule for rule, extensions in _RULES for extension in extensions.split()}
)
_RULE_OF_NAME: Mapping[str, LanguageRule] = MappingProxyType(
    {"Dockerfile": _code("Dockerfile"), "Makefile": _code("Makefile")}
)


def rule_for(path: str) -> LanguageRule | None:
    """The rule for a path inside a repository, or None when we know no language for it."""
    pure = PurePosixPath(path)
    return _RULE_OF_NAME.get(pure.name) or RULES.get(pure.suffix.lower().removeprefix("."))
