"""How much text a prompt takes, and the window of the document around the cursor.

Windows are stable: while the user types, their text changes at the cursor only. Otherwise the engine
would compute its KV cache anew at every key. So the start stands at a line's start and moves in steps of
about a quarter of the budget, the end is counted from the line below the cursor, and closing brackets
that an editor adds behind the cursor stay out of the suffix. Work is bounded by the window, not by the
file. Of tokens, only a rate of characters is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.languages.language import SyntaxFamily
from model.languages.languages import language_of_id

# Medians measured with a 16,384-token vocabulary on the standard library, npm packages and numpy's
# headers are 3.9, 3.5 and 2.6 (p10: 3.2, 3.1, 2.2). A prompt that is still too long is cut by
# the engine, which costs a little stability; one that is too short costs context.
_CHARS_PER_TOKEN: dict[SyntaxFamily | None, float] = {"python": 3.4, "script": 3.2, "c": 2.4, None: 3.0}
_PREFIX_SHARE, _SUFFIX_SHARE, _EXCERPT_SHARE = 0.6, 0.2, 0.2
_SPECIAL_TOKENS = 16  # FIM and file-name tokens, a healed token, one to spare
_LINE_CHARS = 36  # of a usual line of code, to guess how many lines fit
_MIN_FILL = 0.6  # a window is at least this full, if the file has the text

# What editors put behind the cursor when its counterpart is typed.
_AUTO_CLOSED = ")]}>\"'`"


@dataclass(frozen=True, kw_only=True)
class ContextBudget:
    """Characters for the three parts of a prompt."""

    prefix_chars: int
    suffix_chars: int
    excerpt_chars: int

    @classmethod
    def of_engine(cls, context_tokens: int, *, max_new_tokens: int, language: str = "") -> ContextBudget:
        """Share an engine's context between prefix (60 %), suffix and excerpts (20 % each)."""
        tokens = max(context_tokens - max_new_tokens - _SPECIAL_TOKENS, 64)
        known = language_of_id(language)
        chars = tokens * _CHARS_PER_TOKEN[known.family if known else None]
        return cls(
            prefix_chars=int(chars * _PREFIX_SHARE),
            suffix_chars=int(chars * _SUFFIX_SHARE),
            excerpt_chars=int(chars * _EXCERPT_SHARE),
        )

    def without_excerpts(self) -> ContextBudget:
        """The same total; the prefix gets the excerpts' share."""
        return ContextBudget(
            prefix_chars=self.prefix_chars + self.excerpt_chars,
            suffix_chars=self.suffix_chars,
            excerpt_chars=0,
        )


@dataclass(frozen=True, kw_only=True)
class PromptWindow:
    """What of the document goes into a prompt. Lines `start_line` (inclusive) to `end_line` (exclusive).

    `closed_tail` stands between the two, and does not.
    """

    prefix: str
    suffix: str
    closed_tail: str
    start_line: int
    end_line: int


def window_around(lines: Sequence[str], line: int, start_char: int, budget: ContextBudget) -> PromptWindow:
    """The window around character `start_char` of line number `line`; `lines` hold their line ends."""
    here = lines[line]
    start_line, skipped_chars = _window_start(lines, line, start_char, budget.prefix_chars)
    prefix = ("".join(lines[start_line:line]) + here[:start_char])[skipped_chars:]
    end_line, below_chars = line + 1, 0
    while end_line < len(lines) and below_chars + len(lines[end_line]) <= budget.suffix_chars:
        below_chars += len(lines[end_line])
        end_line += 1
    rest = here[start_char:]
    tail = _open_tail(rest)[: budget.suffix_chars]
    return PromptWindow(
        prefix=prefix,
        suffix=tail + "".join(lines[line + 1 : end_line]),
        closed_tail=rest.rstrip("\r\n") if _is_closed(rest) else "",
        start_line=start_line,
        end_line=end_line,
    )


def _open_tail(tail: str) -> str:
    """The rest of the cursor's line without brackets and quotes that the editor may have closed.

    They come and go while the user types. The suffix stands first in the prompt, so each change of it would
    cost the whole cache. The filters see the real rest and keep it from being written twice.
    """
    return tail[len(tail.rstrip("\r\n")) :] if _is_closed(tail) else tail


def _is_closed(tail: str) -> bool:
    return not tail.rstrip("\r\n").strip(_AUTO_CLOSED)


def _window_start(lines: Sequence[str], line: int, start_char: int, budget_chars: int) -> tuple[int, int]:
    """(first line, characters to skip in it) of the prefix. Only a line that is too long is cut."""
    if start_char > budget_chars:
        step = max(budget_chars // 4, 1)
        return line, -(-(start_char - budget_chars) // step) * step
    lengths = [start_char]  # of the prefix when it begins 0, 1, 2 … lines above the cursor's
    while len(lengths) <= line and lengths[-1] + len(lines[line - len(lengths)]) <= budget_chars:
        lengths.append(lengths[-1] + len(lines[line - len(lengths)]))
    first = line - len(lengths) + 1
    if first == 0:
        return 0, 0
    # Line numbers that are multiples of the step stay the same while the cursor moves on. Long lines
    # need smaller steps, or the window would be nearly empty after one.
    step = 1 << max((budget_chars // (4 * _LINE_CHARS)).bit_length() - 1, 0)
    while step > 1:
        start = -(-first // step) * step
        if start <= line and lengths[line - start] >= _MIN_FILL * lengths[-1]:
            return start, 0
        step //= 2
    return first, 0
