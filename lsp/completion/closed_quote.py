"""A quote behind the cursor that the editor closed by itself.

Closing brackets and quotes that stand alone behind the cursor are left out of the prompt: they come and
go while one types, and each change would cost the cache (`lsp.context.context`). So the model closes
the string itself, and one of the two quotes must go. `lsp.postprocess` sees to brackets.
"""

from __future__ import annotations

import re
from dataclasses import replace

from lsp.postprocess import CursorContext, Suggestion

_QUOTES = "\"'`"
# Behind the cursor, these alone are left out of the prompt; see `lsp.context.context`.
_CLOSERS = ")]}>" + _QUOTES


def fit_closed_quote(suggestion: Suggestion, context: CursorContext) -> Suggestion | None:
    """The suggestion without the closing quote, or with it in place of the one behind the cursor.

    None if nothing is left. Unchanged where no closed quote follows the cursor.
    """
    tail = context.line_tail.rstrip()
    if tail[:1] not in tuple(_QUOTES) or tail.strip(_CLOSERS):
        return suggestion
    text = suggestion.text.rstrip()
    for length in range(len(tail), 0, -1):
        # The document has what is cut, so it becomes what the model wrote.
        kept = text[:-length]
        if text.endswith(tail[:length]) and not _ends_in_escape(kept):
            return suggestion.with_text(kept) if kept.strip() else None
    closing = _closing_quote(text, tail[0])
    if closing is None or tail.startswith(3 * tail[0]):
        return suggestion
    if context.can_replace:
        return replace(suggestion, replace_chars=max(suggestion.replace_chars, 1))
    return suggestion.with_text(text[:closing]) if closing else None


def _ends_in_escape(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _closing_quote(text: str, quote: str) -> int | None:
    """Where the first line of `text` closes a string that was opened before it."""
    line = text.split("\n", 1)[0]
    match = re.search(rf"(?<!\\)(?:\\\\)*{quote}", line)
    return None if match is None else match.end() - 1
