"""What of a suggestion the editor has written already: the brackets, quotes and tags behind the cursor.

They are hidden from the model where they stand alone (`lsp.context.context`), so that it closes them
itself; and it may restate them where it sees them. What stands behind the cursor must keep its part: what
closed a string, a call or a tag before still closes it behind the suggestion. Where it does not, the end of
the suggestion that the document has already goes, or what stands there is replaced.

Also counted are the brackets in strings and comments, which editors close as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from model.languages.language import Language
from model.languages.lexer import Lexer, lexer_of
from model.languages.run import CLOSER_OF
from model.languages.state import TEXTS, LexerState, Scope

MAX_LINE_CHARS = 1_000  # such a line is data or minified, and a tail of it no editor's
# A ' may be an apostrophe.
_SIGN_IN_TEXT = re.compile(r"\\.|[()\[\]{}\"`]")
_CLOSER_IN_TEXT = CLOSER_OF | {'"': '"', "`": "`"}
_BESIDE_CLOSERS = ";,: \t"


class Bound(NamedTuple):
    """Where something opens (1) or closes (-1), or a bracket closes nothing (0).

    `depth` are open after it.
    """

    start_char: int
    end_char: int
    kind: Scope
    step: int
    depth: int


class Position(NamedTuple):
    """What is open at a point: the lexer's state, and each thing's kind and closer.

    The closer is known of brackets in text only, which the lexer does not see. `line_depth` are the things
    that its line found open, and did not close.
    """

    lexer: Lexer
    state: LexerState
    kinds: tuple[Scope, ...]
    closers: tuple[str, ...]
    line_depth: int

    @classmethod
    def after(cls, lines: str, line_before: str, language: Language | None) -> Position:
        """The point behind whole lines and the beginning of one."""
        lexer = lexer_of(language)
        state = lexer.scan(lines, lexer.start(lines + line_before)).state
        kinds = tuple(one.kind for one in state.stack)
        start = cls(lexer, state, kinds, ("",) * len(kinds), len(kinds))
        steps, here = start.read(line_before)
        return here._replace(line_depth=min([start.line_depth, *(step.depth for step in steps)]))

    def read(self, text: str) -> tuple[list[Bound], Position]:
        """What happens in a text that follows, and the point behind it."""
        scan = self.lexer.scan(text, self.state)
        run = _Run(self, text)
        for edge in scan.edges:
            run.read_text_to(edge.start_char, edge.end_char)
            run.take(edge.start_char, edge.end_char, edge.kind, edge.step)
        run.read_text_to(len(text), len(text))
        here = self._replace(state=scan.state, kinds=tuple(run.kinds), closers=tuple(run.closers))
        return run.steps, here

    @property
    def in_text(self) -> bool:
        """Whether the point is in a string, a comment or the like."""
        return self.state.is_text

    def around_text(self) -> Position:
        """The same place, if the text were not there that it is in."""
        n_closed = next(n for n, closer in enumerate(reversed(self.closers), start=1) if not closer)
        # The lexer knows nothing of the brackets in texts.
        return self._replace(
            state=self.state._replace(stack=self.state.stack[:-1]),
            kinds=self.kinds[:-n_closed],
            closers=self.closers[:-n_closed],
        )

    @property
    def is_in_block(self) -> bool:
        """Whether only blocks of code and elements of tags are open: in Python no bracket at all."""
        inner = self.state.stack[-1] if self.state.stack else None
        if inner is None or inner.kind is Scope.ELEMENT:
            return True
        return inner.opener == "{" and self.lexer.language.blocks == "braces"

    @property
    def depth(self) -> int:
        """How many things are open."""
        return len(self.kinds)


class _Run:
    """Follows the lexer's edges through a text, and finds the brackets in its strings and comments."""

    def __init__(self, start: Position, text: str) -> None:
        self.kinds, self.closers = list(start.kinds), list(start.closers)
        self.steps: list[Bound] = []
        language = start.lexer.language
        in_tags = language.markup is not None and not language.markup.starts_in_code
        self._is_prose = language.is_prose or in_tags
        self._text = text
        self._at = 0

    def take(self, start: int, end: int, kind: Scope, step: int) -> None:
        """One of the lexer's edges."""
        if step > 0:
            self.kinds.append(kind)
            self.closers.append("")
        elif step < 0:
            while self.closers and self.closers.pop():
                self.kinds.pop()  # a bracket in a text that ends
            self.kinds.pop()
        self.steps.append(Bound(start, end, kind, step, len(self.kinds)))

    def read_text_to(self, end: int, next_char: int) -> None:
        """Look for brackets in what no edge is of; it counts where it is text."""
        if self._is_text:
            for match in _SIGN_IN_TEXT.finditer(self._text, self._at, end):
                if match[0][0] != "\\":
                    self._take_sign(match[0], match.start())
        self._at = max(self._at, next_char)

    @property
    def _is_text(self) -> bool:
        kind = next(
            (kind for kind, closer in zip(self.kinds[::-1], self.closers[::-1], strict=True) if not closer),
            None,
        )
        return self._is_prose if kind is None else kind in TEXTS or kind is Scope.ELEMENT

    def _take_sign(self, sign: str, start: int) -> None:
        depth = len(self.closers)
        while depth and self.closers[depth - 1] not in ("", sign):
            depth -= 1
        if depth and self.closers[depth - 1] == sign:
            del self.kinds[depth - 1 :], self.closers[depth - 1 :]
            step = -1
        elif sign in _CLOSER_IN_TEXT:
            self.kinds.append(Scope.TEXT)
            self.closers.append(_CLOSER_IN_TEXT[sign])
            step = 1
        else:
            step = 0
        self.steps.append(Bound(start, start + 1, Scope.TEXT, step, len(self.kinds)))


class Closing(NamedTuple):
    """Where a text closes what was open before it, the `level`-th thing from the outermost."""

    level: int
    start_char: int
    end_char: int


def _closings(steps: Sequence[Bound], depth: int) -> Iterator[Closing]:
    tag_start = 0
    for step in steps:
        if step.kind is Scope.TAG and step.step > 0:
            tag_start = step.start_char
        if step.step < 0 and step.depth < depth:
            depth = step.depth
            start = tag_start if step.kind is Scope.ELEMENT else step.start_char
            yield Closing(depth, start, step.end_char)


class ClosedTail:
    """The rest of the cursor's line, as far as it begins with what closes something open at the cursor."""

    def __init__(self, here: Position, tail: str) -> None:
        self._here = here
        self.text = tail
        self._read_from(here)
        if not self.ends and here.in_text:
            # What is being written is a text that the tail does not close, as a regular expression's.
            self._read_from(here.around_text())

    def _read_from(self, start: Position) -> None:
        self._steps = start.read(self.text)[0]
        self.ends: dict[int, int] = {}
        end = 0
        for one in _closings(self._steps, start.depth):
            # Editors put it next to the cursor; what stands behind other text is not theirs.
            if one.end_char > one.start_char and not self.text[end : one.start_char].strip(_BESIDE_CLOSERS):
                self.ends[one.level] = end = one.end_char
        self.only_closes = not self.text[end:].strip(_BESIDE_CLOSERS)

    def closed_by(self, text: str) -> list[Closing]:
        """Where a text at the cursor closes what the tail closes."""
        steps = self._here.read(text)[0]
        return [one for one in _closings(steps, self._here.depth) if one.level in self.ends]

    def keeps_its_part(self, text: str, n_replaced: int) -> bool:
        """Whether the tail, but for what is replaced, closes behind the text what it closed before."""
        steps = self._here.read(text + self.text[n_replaced:])[0]
        before, behind = _parts(self._steps, n_replaced), _parts(steps, len(text))
        if [one[:4] for one in before] != [one[:4] for one in behind]:
            return False
        # Where all that the line opened is closed, the same sign must not close what is around the line.
        return not self._closes_line or all(one[4] <= two[4] for one, two in zip(before, behind, strict=True))

    @property
    def _closes_line(self) -> bool:
        return min(self.ends) <= self._here.line_depth


def _parts(steps: Sequence[Bound], start: int) -> list[Bound]:
    """What the signs from `start` on do, and the brackets that a brace closes with its own."""
    return [
        step._replace(start_char=step.start_char - start, end_char=step.end_char - start)
        for step in steps
        if step.end_char > start
        and (step.end_char > step.start_char or step.kind in (Scope.ELEMENT, Scope.BRACKET))
    ]


def ways_to_fit(text: str, tail: ClosedTail, *, can_replace: bool) -> Iterator[tuple[str, int]]:
    """Ways in which a text may stand before the tail, the best first: (text, replaced tail characters).

    None, if the tail keeps its part behind the text as it is.
    """
    own = tail.closed_by(text)
    if not own or tail.keeps_its_part(text, 0):
        return
    for kept, n_replaced in _tries(text, own, tail, can_replace=can_replace):
        if tail.keeps_its_part(kept, n_replaced):
            yield kept, n_replaced


def _tries(
    text: str, own: Sequence[Closing], tail: ClosedTail, *, can_replace: bool
) -> Iterator[tuple[str, int]]:
    written = text.rstrip()
    ends = sorted({*tail.ends.values(), len(tail.text)})
    # Nothing is lost where the document has the text's end.
    yield from ((text[: one.start_char], 0) for one in own if tail.text.startswith(written[one.start_char :]))
    yield from ((written[:-end], 0) for end in reversed(ends) if written.endswith(tail.text[:end]))
    if can_replace and tail.only_closes:
        replaced = tail.ends[own[-1].level]
        if text[own[-1].end_char :].startswith(tail.text[replaced:]):
            replaced = len(tail.text)
        yield text, replaced
    for start in ends if can_replace else ():
        for end in reversed(ends):
            if end > start and written.endswith(tail.text[start:end]):
                yield written[: start - end], start
    yield text[: own[0].start_char], 0
