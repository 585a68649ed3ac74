"""What the editor's language ids have in common: how they are lexed, and who reads whose code.

Only as much as brackets, strings and comments need; a language that is not listed is lexed by
nobody, and the filters that would need it leave its text alone.
"""

from __future__ import annotations

from typing import Literal

Family = Literal["python", "script", "c"]

_FAMILIES: dict[str, Family] = {
    **dict.fromkeys(("python", "cython", "starlark", "mojo"), "python"),
    **dict.fromkeys(
        ("javascript", "javascriptreact", "typescript", "typescriptreact", "json", "jsonc"), "script"
    ),
    **dict.fromkeys(
        (
            "c",
            "cpp",
            "objective-c",
            "objective-cpp",
            "cuda-cpp",
            "csharp",
            "java",
            "kotlin",
            "scala",
            "swift",
            "go",
            "rust",
            "dart",
            "zig",
            "groovy",
        ),
        "c",
    ),
}

# Languages whose files include, import or sit beside each other's.
_RELATED: tuple[frozenset[str], ...] = (
    frozenset({"c", "cpp", "objective-c", "objective-cpp", "cuda-cpp"}),
    frozenset({"javascript", "javascriptreact", "typescript", "typescriptreact", "vue", "svelte", "astro"}),
    frozenset({"html", "css", "scss", "less", "javascript", "typescript", "vue", "svelte", "astro"}),
    frozenset({"java", "kotlin", "scala", "groovy"}),
    frozenset({"python", "cython", "jupyter"}),
    frozenset({"shellscript", "bash", "zsh", "fish", "dockerfile", "makefile"}),
    frozenset({"json", "jsonc", "yaml", "toml"}),
)


def family(language: str) -> Family | None:
    """How the language's brackets, strings and comments are lexed; None: not known."""
    return _FAMILIES.get(language)


def relatedness(language: str, other: str) -> float:
    """How much code in `other` helps to write `language`: 1 the same, 0.7 related, 0.3 neither."""
    if language == other:
        return 1.0
    return 0.7 if any(language in group and other in group for group in _RELATED) else 0.3
