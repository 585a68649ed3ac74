"""What is done to generated text before it is shown: an ordered list of small pure filters.

`FINAL` is the list for a finished text. `STREAMING` is the part of it for a text that still grows;
`lsp.postprocess.stream` takes back nothing that was shown. A filter acts only on evidence that the text is
wrong: the true middle of a real file must come out unchanged.
Knows no engine and no protocol. Read first: `lsp.postprocess.suggestion`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lsp.postprocess.overlap import (
    cut_closed_brackets,
    cut_repeated_tail,
    cut_restated_line,
    cut_suffix_overlap,
    drop_line_above,
    fit_closed_tail,
)
from lsp.postprocess.repetition import cut_repeated_blocks, cut_repeated_characters, is_looping
from lsp.postprocess.shape import (
    cut_beyond_block,
    cut_leaked_tokens,
    cut_unfinished_last_line,
    cut_unseen_characters,
    drop_blank,
    drop_short,
    fit_first_indent,
    to_document_eol,
    to_file_indentation,
    trim_end,
)
from lsp.postprocess.suggestion import CursorContext, Ended, Filter, Suggestion, to_lf

__all__ = [
    "FINAL",
    "STREAMING",
    "CursorContext",
    "Ended",
    "Filter",
    "Outcome",
    "Suggestion",
    "is_looping",
    "postprocess",
]

FINAL: tuple[Filter, ...] = (
    cut_leaked_tokens,
    cut_unseen_characters,
    cut_restated_line,
    cut_beyond_block,
    cut_repeated_characters,
    cut_repeated_blocks,
    cut_unfinished_last_line,
    fit_first_indent,
    to_file_indentation,
    fit_closed_tail,
    cut_suffix_overlap,
    cut_repeated_tail,
    cut_closed_brackets,
    drop_line_above,
    trim_end,
    drop_blank,
    drop_short,
    to_document_eol,
)
STREAMING: tuple[Filter, ...] = (
    cut_leaked_tokens,
    cut_unseen_characters,
    cut_restated_line,
    cut_beyond_block,
    fit_first_indent,
    to_file_indentation,
    cut_suffix_overlap,
    cut_closed_brackets,
    drop_line_above,
    trim_end,
    drop_blank,
    to_document_eol,
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The filtered suggestion, or None and the filter that dropped it."""

    suggestion: Suggestion | None
    dropped_by: str | None = None


def postprocess(suggestion: Suggestion, context: CursorContext, filters: Sequence[Filter] = FINAL) -> Outcome:
    """Run the filters in order. The text may have any line ends; it comes out with the document's."""
    current = suggestion.with_text(to_lf(suggestion.text))
    for step in filters:
        # What is replaced no longer counts.
        result = step(current, context.beyond(current.replace_chars))
        if result is None:
            return Outcome(suggestion=None, dropped_by=getattr(step, "__name__", repr(step)))
        current = result
    return Outcome(suggestion=current)
