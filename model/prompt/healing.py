"""Token healing: the output must begin with the bytes that were taken off the end of the prompt.

A prefix such as `for i in ra` ends within a word, where a tokenizer would never cut. So the prompt
ends before ` ra` and the tokens chosen first must spell ` ra` (or more, such as ` range`). Those
bytes stand in the buffer already and are cut from what is emitted.
Knows nothing about prompts (`model.prompt.fim` decides what is taken off) nor about sampling.
"""

from __future__ import annotations

from model.prompt.spellings import Ids
from model.prompt.tokenizer import Tokenizer


class Healer:
    """Follows one sequence until its output has spelled the required bytes."""

    def __init__(self, tokenizer: Tokenizer, required: bytes) -> None:
        self._tokenizer = tokenizer
        self._remaining = required
        self._to_strip = len(required)

    @property
    def done(self) -> bool:
        """Whether everything required has been spelled: from here on, any token is allowed."""
        return not self._remaining

    def allowed(self) -> Ids | None:
        """Ids (int64, 1-D) of the tokens that may come next.

        These are the tokens that begin with what remains, and those that what remains begins
        with; never a special token. None once satisfied, or when the vocabulary cannot spell it.
        """
        if not self._remaining:
            return None
        ids = self._tokenizer.tokens_spelling(self._remaining)
        if len(ids) == 0:
            # Some published vocabularies lack a few single bytes. What cannot be spelled is not
            # insisted on; `strip` still removes the part that was.
            self._to_strip -= len(self._remaining)
            self._remaining = b""
            return None
        return ids

    def advance(self, token_id: int) -> None:
        """Take note of the token chosen. Raises `ValueError` if `allowed` did not contain it."""
        if not self._remaining:
            return
        spelled = self._tokenizer.token_bytes(token_id)  # empty for a special token
        if not spelled or not (spelled.startswith(self._remaining) or self._remaining.startswith(spelled)):
            raise ValueError(f"token {token_id} ({spelled!r}) does not begin {self._remaining!r}")
        self._remaining = self._remaining[len(spelled) :]

    def strip(self, data: bytes) -> bytes:
        """The part of the next output bytes that is new to the buffer. Call it once for each token."""
        if not self._to_strip:
            return data
        cut = min(self._to_strip, len(data))
        self._to_strip -= cut
        return data[cut:]

    def draft(self) -> list[int]:
        """Tokens that likely come next: the ordinary encoding of what remains, but for what usually grows.

        That is the last token of a word, and the last of a run of spaces, which belongs to the word after it.
        """
        text = self._remaining.decode("utf-8", errors="ignore")
        if text.isspace():
            return self._tokenizer.encode(text[:-1])
        ids = self._tokenizer.encode(text)
        return ids[:-1] if text[-1:].isalpha() or text.endswith("_") else ids
