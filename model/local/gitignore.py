"""Patterns in .gitignore's syntax, matched as git matches them (gitignore(5), git's wildmatch.c).

A verdict is about one file or folder itself, never about what lies in it: the caller walks down from
the top and enters no ignored folder. Reads no file and knows neither editors nor training.

The library pathspec was tried on the cases of `tests/model/local/test_gitignore.py`. Its newest release,
1.1.1, differs from `git check-ignore`:

- a pattern for a folder also matches all that is below it, so `!d/` takes back `d/e/a`, which `?` ignores;
- `d/**` matches the folder `d` itself, so a walk never finds what `!d/a` takes back;
- below an ignored folder a negated pattern still counts (`d`, then `!a`: `d/a`);
- `[[:alpha:]]` and `[\\]]` match nothing;
- `[b-a]`, `a\\` and `!` raise, where git takes the first character or passes over the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

# Longer than any path (PATH_MAX of Linux), and not to be compiled.
_MAX_LINE_CHARS = 4_096

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


@dataclass(frozen=True)
class Pattern:
    """One line. `regex` matches a whole path below the pattern's folder, without a slash at its end.

    A pattern that is not `anchored` names files at any depth.
    """

    line: str
    negated: bool
    folders_only: bool
    anchored: bool
    regex: re.Pattern[str]

    def names(self, path: str, *, is_folder: bool) -> bool:
        """Whether it is about a /-separated path."""
        return (is_folder or not self.folders_only) and self.regex.fullmatch(path) is not None


@dataclass(frozen=True)
class Patterns:
    """The patterns of one file or setting in their order; `origin` names it in reasons."""

    origin: str
    patterns: tuple[Pattern, ...]

    @classmethod
    def of_lines(cls, lines: Sequence[str], *, origin: str, ignore_case: bool = False) -> Patterns:
        """Parse lines; comments, blank lines and what git would never match are left out."""
        parsed = (parse(line, ignore_case=ignore_case) for line in lines)
        return cls(origin, tuple(pattern for pattern in parsed if pattern is not None))

    @classmethod
    def of_text(cls, text: str, *, origin: str, ignore_case: bool = False) -> Patterns:
        """Parse a .gitignore file's text."""
        return cls.of_lines(text.removeprefix("\ufeff").split("\n"), origin=origin, ignore_case=ignore_case)

    def verdict(self, path: str, *, is_folder: bool) -> Pattern | None:
        """The last pattern that names a /-separated path; ignored if it is not negated."""
        return next((each for each in reversed(self.patterns) if each.names(path, is_folder=is_folder)), None)


def why_ignored(known: Sequence[tuple[PurePath, Patterns]], path: PurePath, *, is_folder: bool) -> str | None:
    """The pattern that ignores `path`, and where it stands; None if none does.

    `known` are patterns with the folder that they are relative to, the outermost folder first: of several
    that name a path the last one counts.
    """
    for folder, patterns in reversed(known):
        verdict = patterns.verdict(path.relative_to(folder).as_posix(), is_folder=is_folder)
        if verdict is not None:
            return None if verdict.negated else f'"{verdict.line}" in {patterns.origin}'
    return None


def why_excluded(patterns: Patterns, path: PurePath, *, root: PurePath | None) -> str | None:
    """The pattern that excludes an absolute path or a folder above it; None if none does.

    Unlike an ignore file's, these patterns reach above `root`: a workspace may itself be a folder that they
    name. Only anchored ones are relative to `root`, or without one to the path's own top.
    """
    top = PurePath(path.anchor)
    for here in (*reversed(path.parents), path):
        whole = here.relative_to(top).as_posix()
        below = (
            whole if root is None else here.relative_to(root).as_posix() if here.is_relative_to(root) else ""
        )
        for pattern in reversed(patterns.patterns):
            if pattern.names(below if pattern.anchored else whole, is_folder=here != path):
                if pattern.negated:
                    break
                return f'"{pattern.line}" in {patterns.origin}'
    return None


def parse(line: str, *, ignore_case: bool = False) -> Pattern | None:
    """Parse one line; None if it is blank, a comment, or no pattern that could match."""
    if len(line) > _MAX_LINE_CHARS:
        return None
    line = line.removesuffix("\r")
    glob = re.sub(r"(?<!\\) +$", "", line)
    negated = glob.startswith("!")
    glob = glob[1:] if negated else glob
    if not glob or (glob.startswith("#") and not negated):
        return None
    folders_only = glob.endswith("/")
    glob = glob.removesuffix("/")
    anchored = "/" in glob
    glob = glob.removeprefix("/")
    expression = _translate(glob, anchored=anchored)
    if not glob or expression is None:
        return None
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    anywhere = not anchored or glob.startswith("**/")
    return Pattern(line, negated, folders_only, not anywhere, re.compile(expression, flags))


def _translate(glob: str, *, anchored: bool) -> str | None:
    """A regular expression for a glob's path; None for one that git never matches.

    Between two `**`, the first place that fits is as good as any later one, as it is within a name between
    two `*`. So these are atomic groups, which are never tried again, and the time grows with the path alone.
    """
    groups: list[list[str]] = [[]] if anchored else [[], []]
    parts = glob.split("/")
    for part in parts:
        if part == "**" and len(parts) > 1:
            if groups[-1] or len(groups) == 1:
                groups.append([])
            continue
        translated = _translate_part(part)
        if translated is None:
            return None
        groups[-1].append(translated)
    first, *others = ["/".join(group) for group in groups]
    if not others:
        return first
    *middle, last = others
    pieces = [f"{first}/"] if groups[0] else []
    pieces += [f"(?>(?:[^/]+/)*?{group}/)" for group in middle]
    # `**` at the end: all that is inside.
    pieces.append(f"(?:[^/]+/)*?{last}" if groups[-1] else ".+")
    return "".join(pieces)


def _translate_part(part: str) -> str | None:
    """A regular expression for one name; None for one that git never matches."""
    pieces = [""]  # between stars
    at = 0
    while at < len(part):
        character = part[at]
        at += 1
        if character == "*":
            pieces.append("")
        elif character == "?":
            pieces[-1] += "[^/]"
        elif character == "[":
            end = _class_end(part, at)
            if end is None:
                return None
            pieces[-1] += _class(part[at:end])
            at = end + 1
        elif character == "\\":
            if at == len(part):
                return None
            pieces[-1] += re.escape(part[at])
            at += 1
        else:
            pieces[-1] += re.escape(character)
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    return first + "".join(f"(?>[^/]*?{piece})" for piece in middle if piece) + f"[^/]*{last}"


def _class_end(part: str, start: int) -> int | None:
    """Where the bracket that closes a class stands; `start` is behind the opening one."""
    at = start + (part[start : start + 1] in ("!", "^"))
    at += part[at : at + 1] == "]"  # the first one stands for itself
    while at < len(part):
        if part.startswith("[:", at) and ":]" in part[at + 2 :]:
            at = part.index(":]", at + 2) + 2
        elif part[at] == "]":
            return at
        else:
            at += 2 if part[at] == "\\" else 1
    return None


def _class(content: str) -> str:
    """The expression for the content of a bracketed class, which never matches a slash."""
    negated = content[:1] in ("!", "^")
    members = "".join(_members(content[1:] if negated else content))
    if not members:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{members}]"


def _members(content: str) -> Iterator[str]:
    tokens = re.findall(r"\[:[a-z]*:\]|\\.|.", content, re.DOTALL)
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.startswith("[:") and len(token) > 1:
            yield _CLASSES.get(token[2:-2], "")
        elif tokens[at + 1 : at + 2] == ["-"] and at + 2 < len(tokens):
            low, high = token[-1], tokens[at + 2][-1]
            # git still takes the first character of a range that is upside down.
            yield f"{re.escape(low)}-{re.escape(high)}" if low <= high else re.escape(low)
            at += 2
        else:
            yield re.escape(token[-1])
        at += 1
