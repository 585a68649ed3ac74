"""The code that a question is about: whole lines of one document, and their surroundings.

The lines are found by indentation, which every formatter keeps; no grammar is needed. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lsp.documents.documents import Document, line_end
from lsp.documents.place import well_formed

# A diagnostic in a longer function is shown with this many lines on each side.
MAX_FIX_LINES = 60
_FIX_MARGIN = 10
_BRANCH = re.compile(
    r"\s*[})\]]*\s*(if|elif|else|for|foreach|while|do|try|except|catch|finally|with|using|switch|case|match|"
    r"when|default|loop|begin|rescue|ensure|unless|until)\b"
)
_LONE_BRACKET = re.compile(r"\s*[{(\[]\s*")
_DECORATOR = re.compile(r"\s*(@|#\[)")
_CLOSING = re.compile(r"\s*([)\]}]|end\b|fi\b|done\b|esac\b)")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Lines [first, last) of a document as they were at `version`. `path` is its name for the model.

    `lines` are all of the document's lines, without their ends.
    """

    uri: str
    version: int | None
    path: str
    language: str
    lines: tuple[str, ...]
    line_end: str
    first: int
    last: int

    @classmethod
    def of(cls, document: Document, first: int, last: int, *, path: str) -> Subject:
        """Take these lines of a document."""
        ends = (line_end(line) for line in document.lines)
        return cls(
            uri=document.uri,
            version=document.version,
            path=path,
            language=document.language_id or "",
            lines=tuple(well_formed(line.rstrip("\r\n")) for line in document.lines),
            line_end=next(filter(None, ends), "\n"),
            first=first,
            last=last,
        )

    @property
    def indent(self) -> str:
        """The white space that all lines of the code begin with."""
        return common_indent(self.lines[self.first : self.last])

    @property
    def code_lines(self) -> list[str]:
        """The code without that white space."""
        n_chars = len(self.indent)
        return [line[n_chars:].rstrip() for line in self.lines[self.first : self.last]]

    @property
    def code(self) -> str:
        """The same as a text."""
        return "\n".join(self.code_lines)

    def around(self, max_chars: int) -> tuple[int, int]:
        """The lines [first, last) of the code and as much around it as has room, half on each side."""
        first, last = self.first, self.last
        above = max_chars // 2
        while first > 0 and len(self.lines[first - 1]) < above:
            first -= 1
            above -= len(self.lines[first]) + 1
        below = max_chars // 2 + max(above, 0) * (first == 0)
        while last < len(self.lines) and len(self.lines[last]) < below:
            below -= len(self.lines[last]) + 1
            last += 1
        return first, last


def common_indent(lines: Sequence[str]) -> str:
    """The longest white space that all lines begin with; blank lines do not count."""
    indents = [line[: len(line) - len(line.lstrip(" \t"))] for line in lines if line.strip()]
    if not indents:
        return ""
    low, high = min(indents), max(indents)
    n_same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[:n_same]


def selected(begin: tuple[int, int], end: tuple[int, int]) -> tuple[int, int]:
    """The lines [first, last) of a selection. One that ends at a line's start leaves that line out."""
    (first, _), (last, end_char) = begin, end
    return first, max(first + 1, last + (1 if end_char else 0))


def definition_at(lines: Sequence[str], line: int) -> tuple[int, int]:
    """The lines [first, last) of the function, or other definition, that a line stands in or opens.

    Branches and loops are no definitions. Outside of any definition, the paragraph.
    """
    header = _header(lines, line)
    if header is None:
        return _paragraph(lines, line)
    first, level = header, _indentation(lines[header])
    if first > 0 and _LONE_BRACKET.fullmatch(lines[first]) and lines[first - 1].strip():
        first -= 1
    while first > 0 and _DECORATOR.match(lines[first - 1]) and _indentation(lines[first - 1]) == level:
        first -= 1
    last = header + 1
    while last < len(lines) and (not lines[last].strip() or _indentation(lines[last]) > level):
        last += 1
    if last < len(lines) and _CLOSING.match(lines[last]):
        last += 1
    while not lines[last - 1].strip():
        last -= 1
    return first, last


def around_diagnostic(lines: Sequence[str], first: int, last: int) -> tuple[int, int]:
    """The lines to show for a fault in [first, last): its function, if that is not long."""
    begin, end = definition_at(lines, first)
    if end >= last and end - begin <= MAX_FIX_LINES:
        return begin, end
    return max(0, first - _FIX_MARGIN), min(len(lines), last + _FIX_MARGIN)


def _header(lines: Sequence[str], line: int) -> int | None:
    """The line that opens the innermost definition around a line, which may be that line; else None."""
    while line < len(lines) - 1 and (not lines[line].strip() or _DECORATOR.match(lines[line])):
        line += 1
    if line < len(lines) - 1 and _LONE_BRACKET.fullmatch(lines[line + 1]):
        line += 1
    if _opens(lines, line) and not _BRANCH.match(lines[line]):
        return line
    level = _indentation(lines[line])
    for above in range(line - 1, -1, -1):
        text = lines[above]
        if not text.strip() or _indentation(text) >= level or _CLOSING.match(text):
            continue
        level = _indentation(text)
        if not _BRANCH.match(text):
            return above
    return None


def _opens(lines: Sequence[str], line: int) -> bool:
    below = next((text for text in lines[line + 1 :] if text.strip()), "")
    return bool(lines[line].strip()) and _indentation(below) > _indentation(lines[line])


def _paragraph(lines: Sequence[str], line: int) -> tuple[int, int]:
    first, last = line, line + 1
    while first > 0 and lines[first - 1].strip():
        first -= 1
    while last < len(lines) and lines[last].strip():
        last += 1
    return first, last


def _indentation(text: str) -> int:
    return len(text) - len(text.lstrip(" \t"))
