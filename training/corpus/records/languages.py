"""Which file is which language, and the limits its quality is judged by.

The table (`languages.tsv`) is StarCoder's inspection of every (language, extension) of The Stack
(arXiv 2305.06161, §3.2 and its appendix): 86 languages, and JSON and YAML. `starter` is the same
with a few of our own. Names are github-linguist's. A file whose extension the table does not have, or
that has none, is recognised by its name, its shebang or its modeline; a few extensions that other
languages share are taken only when the text does not speak against it (linguist's `heuristics.yml`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from training.corpus.errors import CorpusError

_TABLE = Path(__file__).with_name("languages.tsv")
# What a file's first lines are looked for: a shebang, a modeline.
HEAD_CHARS = 512
# Rows that only hold for `Dockerfile.1` and the like: a bare `.txt` is no Makefile.
_BY_NAME_ONLY = {("Dockerfile", "1"), ("Dockerfile", "3"), ("Dockerfile", "mustache")} | {
    ("Makefile", "txt"),
    ("Makefile", "cmake"),
}
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "Dockerfile": "Dockerfile",
        "Containerfile": "Dockerfile",
        "Makefile": "Makefile",
        "makefile": "Makefile",
        "GNUmakefile": "Makefile",
        "CMakeLists.txt": "CMake",
        "Rakefile": "Ruby",
        "Gemfile": "Ruby",
        "Vagrantfile": "Ruby",
        "SConstruct": "Python",
        "SConscript": "Python",
        "BUILD.bazel": "Python",
        "Jenkinsfile": "Groovy",
        ".bashrc": "Shell",
        ".profile": "Shell",
        ".zshrc": "Shell",
        "PKGBUILD": "Shell",
        ".emacs": "Emacs Lisp",
        ".Rprofile": "R",
    }
)
# An interpreter's name, version digits cut off, or an editor's mode.
_INTERPRETERS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("python", "pypy"), "Python"),
        **dict.fromkeys(("sh", "bash", "dash", "zsh", "ksh", "ash", "shell-script"), "Shell"),
        **dict.fromkeys(("csh", "tcsh"), "Tcsh"),
        **dict.fromkeys(("node", "nodejs", "deno", "bun", "javascript", "js"), "JavaScript"),
        **dict.fromkeys(("awk", "gawk", "mawk", "nawk"), "Awk"),
        **dict.fromkeys(("tclsh", "wish", "tcl"), "Tcl"),
        **dict.fromkeys(("runhaskell", "haskell"), "Haskell"),
        **dict.fromkeys(("escript", "erlang"), "Erlang"),
        **dict.fromkeys(("make", "makefile", "gmake"), "Makefile"),
        **dict.fromkeys(("rscript", "r"), "R"),
        **dict.fromkeys(("swipl", "prolog"), "Prolog"),
        **dict.fromkeys(("pwsh", "powershell"), "PowerShell"),
        **dict.fromkeys(("sbcl", "clisp", "lisp", "common-lisp"), "Common Lisp"),
        **dict.fromkeys(("guile", "scheme"), "Scheme"),
        **dict.fromkeys(("c++", "cpp"), "C++"),
        "emacs-lisp": "Emacs Lisp",
        "ruby": "Ruby",
        "perl": "Perl",
        "php": "PHP",
        "lua": "Lua",
        "groovy": "Groovy",
        "scala": "Scala",
        "julia": "Julia",
        "elixir": "Elixir",
        "racket": "Racket",
        "ocaml": "OCaml",
        "c": "C",
        "java": "Java",
        "sql": "SQL",
        "yaml": "YAML",
    }
)
_SHEBANG = re.compile(r"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+|\w+=\S+\s+)*)?(?:\S*/)?([A-Za-z+-]+)")
_MODELINE = re.compile(
    r"-\*-\s*(?:.*?mode:\s*)?([\w+#-]+)\s*(?:;.*)?-\*-|\bvim?:.*?\b(?:ft|filetype)=([\w+-]+)"
)
# Extension -> what says that the file is of another language that has it too.
_DISPROOFS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        extension: re.compile(pattern, re.MULTILINE)
        for extension, pattern in {
            "fs": r"^(?:: |new-device)|^\s*(?:#version|precision|uniform|varying|vec[234])\b",  # Forth, GLSL
            "f": r"^: ",  # Forth
            "for": r"^(?:: |new-device)",  # Forth
            "md": r"^(?:;;|\(define_)",  # GCC's machine descriptions
            "r": r"\bRebol\b",
            "t": r"^\s*%[ \t]+|^\s*var\s+\w+(?:\s*:\s*\w+)?\s*:=\s*\w+",  # Turing
            "rs": r"^#pragma|^#include|^(?:static )?rs_\w+",  # RenderScript
            "cs": r"^![\w\s]+methodsFor: ",  # Smalltalk
            "m": r"^\s*(?:@interface|@implementation|#import)",  # Objective-C
        }.items()
    }
)
_PROLOG = re.compile(r"^[^#]+:-", re.MULTILINE)
_PERL = re.compile(
    r"\buse\s+(?:strict\b|warnings\b|v?5\b)|^\s*use\s+(?:constant|overload)\b|^\s*package\s+\w+(?:::\w+)*\s*[;{]"
    r"|[\s$]\w+(?::\w+)*->[a-zA-Z_\[({]|^\s*(?:my|our|sub)\s",
    re.MULTILINE,
)


class TableName(StrEnum):
    """`starcoder`: the paper's table. `starter`: that, and what the bundled model's corpus adds."""

    STARCODER = "starcoder"
    STARTER = "starter"


@dataclass(frozen=True, kw_only=True)
class LanguageRule:
    """A language and its limits; None switches a limit off. Shares are of characters, 0 to 1."""

    language: str
    included: bool = True
    longest_line_max_chars: int | None = 1000
    mean_line_max_chars: int | None = 100
    alphanumeric_min_share: float | None = 0.25
    alphabetic_min_share: float | None = None
    xml_dropped: bool = True
    min_chars: int = 0
    max_chars: int | None = None


@dataclass(frozen=True, kw_only=True)
class LanguageTable:
    """The rules of one table, by extension and, where a file has none, by language."""

    by_extension: Mapping[str, LanguageRule]
    by_language: Mapping[str, LanguageRule]

    def rule_for(self, path: str, head: str = "") -> LanguageRule | None:
        """The rule for a path and the first characters of its text; None when no language is known."""
        pure = PurePosixPath(path)
        extension = pure.suffix.lower().removeprefix(".")
        named = _NAMES.get(pure.name) or _NAMES.get(
            pure.name.partition(".")[0] if "." in pure.name[1:] else ""
        )
        if pure.name in _NAMES or (named is not None and (named, extension) in _BY_NAME_ONLY):
            return self.by_language.get(named or "")
        if extension == "pl" and _PROLOG.search(head) and not _PERL.search(head):
            return self.by_language.get("Prolog")
        rule = self.by_extension.get(extension)
        if rule is not None:
            disproof = _DISPROOFS.get(extension)
            return None if disproof is not None and disproof.search(head) else rule
        return self.by_language.get(_language_of_head(head) or "")

    def languages(self) -> list[str]:
        """The languages of which something is included, by name."""
        return sorted(self.by_language)


@lru_cache(maxsize=len(TableName))
def language_table(name: TableName) -> LanguageTable:
    """Read a table; raises CorpusError when the package's file is damaged."""
    by_extension: dict[str, LanguageRule] = {}
    by_language: dict[str, LanguageRule] = {}
    for number, line in enumerate(_TABLE.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split("\t")
        if line.startswith(("#", "table\t")) or (fields[0] == "starter" and name is not TableName.STARTER):
            continue
        if len(fields) != 8:
            raise CorpusError(
                f"{_TABLE} line {number}: {len(fields)} columns instead of 8; reinstall the package"
            )
        extension, rule = fields[2], _rule(fields, name)
        if (rule.language, extension) not in _BY_NAME_ONLY and extension != "-":
            by_extension.setdefault(extension, rule)
        if rule.included:
            by_language.setdefault(rule.language, rule)
    return LanguageTable(
        by_extension=MappingProxyType(by_extension), by_language=MappingProxyType(by_language)
    )


def _rule(fields: list[str], name: TableName) -> LanguageRule:
    _, language, _, included, longest_line, alphanumeric, alphabetic, xml = fields
    is_data = language in {"JSON", "YAML"}
    return LanguageRule(
        language=language,
        included=included == "1",
        longest_line_max_chars=None if longest_line == "-" else int(longest_line),
        # The original switches both limits off together.
        mean_line_max_chars=None if longest_line == "-" else 100,
        alphanumeric_min_share=None if alphanumeric == "-" else float(alphanumeric),
        alphabetic_min_share=None if alphabetic == "-" else float(alphabetic),
        xml_dropped=xml == "1",
        # 50 to 5,000 characters for data files (paper); 40 is ours: less teaches a small model nothing.
        min_chars=50 if is_data else 40 if name is TableName.STARTER else 0,
        max_chars=5000 if is_data else None,
    )


def _language_of_head(head: str) -> str | None:
    lines = head[:HEAD_CHARS].split("\n", 2)
    found = _SHEBANG.match(lines[0])
    word = found[1] if found else None
    if word is None and (mode := _MODELINE.search("\n".join(lines[:2]))) is not None:
        word = mode[1] or mode[2]
    return None if word is None else _INTERPRETERS.get(word.lower().rstrip("0123456789.-"))
