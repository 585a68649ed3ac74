"""Functions of real files, and what becomes of them when they are copied.

The means are the benchmark's own (lines, brackets, regular expressions): nothing of `attribution` finds
what it has made.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attribution.source import SourceDocument
from attribution.tokens.shape import KEYWORDS
from benchmarks.attribution.copies.packages import language_of
from benchmarks.attribution.judge import tokens_of

MIN_LINES, MAX_LINES = 10, 60
MIN_TOKENS = 80
_NAME = re.compile(r"[A-Za-z_]\w*")
_WORDS = frozenset(KEYWORDS.decode().split())
_HEAD = {
    "java": r"^ +(?:public|private|protected|static|final)[\w<>\[\], .?]*\([^;{}]*\{\s*$",
    "javascript": r"^ *(?:async +)?(?:function\b[^{}]*|[\w.$]+ *[=:] *(?:async +)?function[^{}]*)\{\s*$",
    "go": r"^func .*\{\s*$",
    "rust": r"^ *(?:pub(?:\([a-z]+\))? +)?(?:unsafe +)?fn .*\{\s*$",
    "c": r"^(?!typedef|struct|enum|union|extern|#|\s|if|for|while)[\w *]+\([^;{}]*\)\s*\{\s*$",
}
_PYTHON_HEAD = re.compile(r"^( *)(?:async )?def ")
_LINE_COMMENT = {"python": r"#.*", **dict.fromkeys(_HEAD, r"//.*")}
_DEAD = {
    "java": "if (false) {{ System.out.println({0}); }}",
    "python": "if {0} is None and {0} == 1: raise ValueError({0})",
    "javascript": "if (false) {{ console.log({0}); }}",
    "go": "if false {{ println({0}) }}",
    "rust": 'if false {{ println!("{{}}", {0}); }}',
    "c": 'if (0) {{ printf("%d", {0}); }}',
}


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function as it stands in a file."""

    text: str
    language: str
    document: SourceDocument


def functions_of(document: SourceDocument) -> Iterator[Function]:
    """The functions of a file that are long enough to be somebody's."""
    language = language_of(document)
    lines = document.text.decode(errors="replace").splitlines()
    cut = _python_functions if language == "python" else _braced_functions
    for text in cut(lines, language):
        if MIN_LINES <= text.count("\n") <= MAX_LINES and len(tokens_of(text.encode())) >= MIN_TOKENS:
            yield Function(text=text, language=language, document=document)


def _python_functions(lines: Sequence[str], language: str) -> Iterator[str]:
    for start, line in enumerate(lines):
        if (head := _PYTHON_HEAD.match(line)) is not None:
            deeper = " " * (len(head[1]) + 1)
            end = start + 1
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith(deeper)):
                end += 1
            yield "\n".join(lines[start:end]).rstrip() + "\n"


def _braced_functions(lines: Sequence[str], language: str) -> Iterator[str]:
    head = re.compile(_HEAD[language])
    for start, line in enumerate(lines):
        if head.match(line):
            depth = 0
            for end in range(start, min(start + MAX_LINES + 1, len(lines))):
                depth += lines[end].count("{") - lines[end].count("}")
                if depth == 0:
                    yield "\n".join(lines[start : end + 1]) + "\n"
                    break


def draw(documents: Sequence[SourceDocument], count: int, dice: random.Random) -> list[Function]:
    """So many functions, at most one of a file. Raises `ValueError` if there are too few."""
    found: list[Function] = []
    for document in dice.sample(documents, len(documents)):
        if functions := list(functions_of(document)):
            found.append(dice.choice(functions))
            if len(found) == count:
                return found
    raise ValueError(f"only {len(found)} of {count} functions found; fetch more packages")


def _verbatim(function: Function, dice: random.Random) -> str:
    return function.text


def _formatted(function: Function, dice: random.Random) -> str:
    """By the language's formatter; where there is none here, in two columns to a level and no blank lines."""
    if (command := _FORMATTERS.get(function.language)) is not None:
        head = "package x\n" if function.language == "go" else ""
        text = _dedented(function.text) if function.language == "python" else function.text
        done = subprocess.run(command, input=head + text, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.removeprefix(head)
    lines = [line for line in function.text.splitlines() if line.strip()]
    return "\n".join(re.sub(r"^( +)", lambda indent: indent[1][::2], line) for line in lines) + "\n"


_FORMATTERS = {
    "python": [
        str(Path(sys.executable).with_name("ruff")),
        "format",
        "--isolated",
        "--line-length",
        "60",
        "-",
    ],
    "go": ["gofmt"],
    "rust": ["rustfmt", "--config", "max_width=60,hard_tabs=true"],
}


def _dedented(text: str) -> str:
    indent = len(text) - len(text.lstrip(" "))
    return re.sub(rf"(?m)^ {{{indent}}}", "", text)


def _dead_code(function: Function, dice: random.Random) -> str:
    """No comments, and after every third statement one that does nothing."""
    text = re.sub(r"/\*.*?\*/", "", function.text, flags=re.DOTALL)
    text = re.sub(r"(?m)(^|\s)" + _LINE_COMMENT[function.language], "", text)
    lines: list[str] = []
    statements = 0
    for line in text.splitlines():
        lines.append(line)
        if _ends_statement(line, function.language):
            statements += 1
            if statements % 3 == 0:
                indent = line[: len(line) - len(line.lstrip())]
                lines.append(indent + _DEAD[function.language].format(f"unused{statements}"))
    return "\n".join(lines) + "\n"


def _ends_statement(line: str, language: str) -> bool:
    if language in {"python", "go"}:
        return bool(re.fullmatch(r"\s+\w[\w.]* :?= [^({\[]*|\s+\w[\w.]*\([^()]*\)", line.rstrip()))
    return line.rstrip().endswith(";")


def _renamed(names: Sequence[str], text: str) -> str:
    others = {name: _new_name(name, at) for at, name in enumerate(names)}
    return _NAME.sub(lambda name: others.get(name[0], name[0]), text)


def _new_name(name: str, at: int) -> str:
    return f"{'Fresh' if name[0].isupper() else 'fresh'}{at}"


def _names(text: str) -> Counter[str]:
    """The names outside of strings and comments, in the order in which they come."""
    code = re.sub(
        r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', " ", text, flags=re.DOTALL
    )
    return Counter(name for name in _NAME.findall(code) if name not in _WORDS)


def _own_names(function: Function, dice: random.Random) -> str:
    """All names that the function declares, its own among them: those that its context does not prescribe."""
    text = function.text
    declared = re.findall(r"(?<![.\w])([a-z_]\w*)\s*(?=[=:,;)]|\bin\b|:=)(?!\s*\()", text)
    names = [name for name in _names(text) if name in set(declared)]
    if (own := re.search(r"(\w+)\s*\(", text)) is not None and own[1] not in _WORDS:
        names.append(own[1])
    return _renamed(names, text)


def _three_names(function: Function, dice: random.Random) -> str:
    """The three names that come most often are others."""
    return _renamed([name for name, _ in _names(function.text).most_common(3)], function.text)


def _repeated_names(function: Function, dice: random.Random) -> str:
    """All names that come more than once are others."""
    return _renamed([name for name, count in _names(function.text).items() if count > 1], function.text)


Disguise = Callable[[Function, random.Random], str]
DISGUISES: dict[str, Disguise] = {
    "verbatim": _verbatim,
    "formatted": _formatted,
    "dead code, no comments": _dead_code,
    "three names changed": _three_names,
    "own names changed": _own_names,
    "repeated names changed": _repeated_names,
}
