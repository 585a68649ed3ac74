"""Places in real files where an editor closes what was opened, found in the files' syntax trees.

A hole is such a file as it stood while its author typed: text before the cursor, behind it what an editor
has put there, and what the author then wrote. Knows no lexer of this project: its judges would be its own.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tree_sitter import Node, Parser
from tree_sitter_language_pack import get_parser

# Grammar and the editors' language id of a file's extension.
GRAMMARS = {
    "py": ("python", "python"),
    "js": ("javascript", "javascript"),
    "ts": ("typescript", "typescript"),
    "tsx": ("tsx", "typescriptreact"),
    "java": ("java", "java"),
    "kt": ("kotlin", "kotlin"),
    "c": ("c", "c"),
    "cpp": ("cpp", "cpp"),
    "cs": ("csharp", "csharp"),
    "go": ("go", "go"),
    "rs": ("rust", "rust"),
    "rb": ("ruby", "ruby"),
    "php": ("php", "php"),
    "swift": ("swift", "swift"),
    "html": ("html", "html"),
    "css": ("css", "css"),
    "sh": ("bash", "shellscript"),
    "yml": ("yaml", "yaml"),
}
_PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">", '"': '"', "'": "'", "`": "`"}
_CLOSER = re.compile(r"""[)\]}>"'`]|\"\"\"|'''|/>|\*/|-->""")
_COMMENTS = (("/*", "*/"), ("<!--", "-->"))
_MAX_BYTES = 24_000
_MAX_LINE_CHARS = 300


@dataclass(frozen=True, kw_only=True)
class Hole:
    """One place: `before`, then the rest of the line as its author wrote it, then `after`.

    `tail` is what an editor has put behind the cursor. Where the line goes on with just that, `middle`
    comes before it and `rest` behind it; else `middle` is None.
    """

    path: Path
    extension: str
    kind: str
    before: str
    line: str
    after: str
    tail: str
    middle: str | None

    @property
    def language_id(self) -> str:
        """The editor's."""
        return GRAMMARS[self.extension][1]

    @property
    def original(self) -> str:
        """The file."""
        return self.before + self.line + self.after

    @property
    def rest(self) -> str:
        """What follows the tail on the line."""
        return "" if self.middle is None else self.line[len(self.middle + self.tail) :]


@dataclass(frozen=True)
class Pair:
    """What opens and what closes, by the characters at which they stand."""

    kind: str
    opens: tuple[int, int]
    closes: tuple[int, int]


@cache
def parser_of(extension: str) -> Parser:
    """The parser of a kind of file."""
    return get_parser(GRAMMARS[extension][0])  # type: ignore[arg-type]  # a literal of 200 names


def parses(extension: str, text: str) -> bool:
    """Whether the grammar finds no error."""
    return not parser_of(extension).parse(text.encode()).root_node.has_error


def holes(paths: Sequence[Path], *, per_kind: int, rng: random.Random) -> Iterator[Hole]:
    """Holes in files of one extension: of each kind at most `per_kind`, of a file at most three a kind."""
    found: dict[str, int] = {}
    for path in rng.sample(paths, len(paths)):
        text = _read(path)
        if text is None:
            continue
        in_file: dict[str, int] = {}
        pairs = _pairs_of(path.suffix[1:], text)
        for pair in rng.sample(pairs, len(pairs)):
            if found.get(pair.kind, 0) >= per_kind or in_file.get(pair.kind, 0) >= 3:
                continue
            hole = _hole(path, text, pair, pairs, rng)
            if hole is not None:
                found[pair.kind] = found.get(pair.kind, 0) + 1
                in_file[pair.kind] = in_file.get(pair.kind, 0) + 1
                yield hole


def _read(path: Path) -> str | None:
    """A file's text, if it is of a usual size and parses."""
    try:
        text = path.read_bytes()[: _MAX_BYTES + 1].decode()
    except (OSError, UnicodeDecodeError):
        return None
    if not 100 < len(text) < _MAX_BYTES or "\r" in text:
        return None
    return text if parses(path.suffix[1:], text) else None


def _pairs_of(extension: str, text: str) -> list[Pair]:
    data = text.encode()
    root = parser_of(extension).parse(data).root_node
    chars = range(len(text) + 1) if len(data) == len(text) else _char_at(text)
    found = [
        Pair(kind, (chars[one[0]], chars[one[1]]), (chars[two[0]], chars[two[1]]))
        for kind, one, two in _nodes(root, ())
    ]
    return [pair for pair in found if "\n" not in text[pair.opens[0] : pair.closes[1]]]


def _char_at(text: str) -> list[int]:
    """The character of each byte."""
    at = [number for number, char in enumerate(text) for _ in char.encode()]
    return [*at, len(text)]


_Found = tuple[str, tuple[int, int], tuple[int, int]]


def _nodes(node: Node, above: tuple[str, ...]) -> Iterator[_Found]:
    kinds = (*above, node.type)
    if not node.children:
        yield from _in_leaf(node, kinds)
    elif (
        "string" in node.type
        and (node.text or b"")[:1] == b'"'
        and node.children[0].start_byte > node.start_byte
    ):
        # Kotlin's grammar does not name the quotes.
        yield "string", (node.start_byte, node.start_byte + 1), (node.end_byte - 1, node.end_byte)
    waiting: list[tuple[str, Node]] = []
    for child in node.children:
        sign = (child.text or b"").decode(errors="replace")
        is_leaf = not child.children
        if is_leaf and waiting and sign == waiting[-1][0] and _CLOSER.fullmatch(sign):
            opener = waiting.pop()[1]
            kind = _kind_of(kinds, (opener.text or b"").decode(errors="replace"))
            yield kind, (opener.start_byte, opener.end_byte), (child.start_byte, child.end_byte)
        elif is_leaf and waiting and sign == "/>" and waiting[-1][0] == ">":
            opener = waiting.pop()[1]
            yield "tag", (opener.start_byte, opener.end_byte), (child.start_byte, child.end_byte)
        elif is_leaf and _may_open(child) and (closer := _closer_of(sign)):
            waiting.append((closer, child))
        yield from _nodes(child, kinds)


def _may_open(leaf: Node) -> bool:
    """Whether it is a sign, and not the text of a string."""
    return not leaf.is_named or leaf.type.endswith(("_start", "_brace"))


def _closer_of(sign: str) -> str | None:
    if sign.endswith(('"""', "'''")):
        return sign[-3:]
    # An operator, a heredoc's mark or the like ends otherwise.
    return _PAIRS.get(sign[-1:]) if len(sign) <= 3 and not sign.startswith("<<") else None


def _in_leaf(node: Node, kinds: tuple[str, ...]) -> Iterator[_Found]:
    """A block comment, and the brackets in the text of a string, a comment or a regular expression."""
    text = (node.text or b"").decode(errors="replace")
    start = node.start_byte
    for opener, closer in _COMMENTS:
        if text.startswith(opener) and text.endswith(closer) and len(text) > len(opener + closer):
            yield "comment", (start, start + len(opener)), (node.end_byte - len(closer), node.end_byte)
    if quoted := re.fullmatch(r"""(\w*)("|')[^"']+\2""", text):
        begin = start + len(quoted[1])
        yield "string", (begin, begin + 1), (node.end_byte - 1, node.end_byte)
    is_text = any(word in node.type for word in ("string", "str_text", "comment", "regex", "pattern"))
    if is_text and text.isascii():
        kind = "regex" if "regex" in "".join(kinds) else "bracket in text"
        for match in re.finditer(r"(?<!\\)[(]\w[^()\"'`\\\n]*[)]|(?<!\\)\[\w[^][\"'`\\\n]*\]", text):
            yield (
                kind,
                (start + match.start(), start + match.start() + 1),
                (start + match.end() - 1, start + match.end()),
            )


def _kind_of(kinds: tuple[str, ...], opener: str) -> str:
    here, around = kinds[-1], " ".join(kinds[-4:])
    if any(word in here for word in ("interpolation", "substitution", "expansion")) or (
        any(word in " ".join(kinds[-2:]) for word in ("string", "template")) and opener.endswith(("{", "\\("))
    ):
        return "format spec" if "format" in here else "interpolation"
    if opener[-1:] in ("'", '"', "`"):
        if here.endswith(("attribute_value", "jsx_attribute")) or kinds[-2:-1] == ("jsx_attribute",):
            return "attribute"
        if "include" in around or "import" in around:
            return "import"
        return "template" if opener[-1:] == "`" else "string"
    if any(word in around for word in ("import", "include", "use_", "export")):
        return "import"
    if opener == "<":
        return "tag" if any(word in here for word in ("tag", "jsx", "element")) else "generics"
    if "argument" in here:
        return "call"
    return "bracket"


def _hole(path: Path, text: str, pair: Pair, pairs: list[Pair], rng: random.Random) -> Hole | None:
    begin, end = pair.opens[1], pair.closes[0]
    content = text[begin:end]
    starts = [begin + match.start() for match in re.finditer(r"\b\w|\W", content)]
    if not content.strip() or len(content) > 120:
        return None
    cursor = begin if rng.random() < 0.6 else rng.choice(starts)
    line_start = text.rfind("\n", 0, cursor) + 1
    line_end = text.find("\n", cursor)
    line_end = len(text) if line_end < 0 else line_end
    if line_end - line_start > _MAX_LINE_CHARS or not text[cursor:end].strip():
        return None
    around = sorted(
        (one for one in pairs if one.opens[1] <= cursor <= one.closes[0]), key=lambda one: -one.opens[0]
    )
    tail = "".join(text[slice(*one.closes)] for one in around)
    return Hole(
        path=path,
        extension=path.suffix[1:],
        kind=pair.kind,
        before=text[:cursor],
        line=text[cursor:line_end],
        after=text[line_end:],
        tail=tail,
        middle=text[cursor:end] if text.startswith(tail, end) else None,
    )
