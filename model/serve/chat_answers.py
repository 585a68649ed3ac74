"""The answers of `/v1/chat/completions`: OpenAI's `chat.completion` objects.

Pure building of plain objects, as in `model.serve.answers`, which counts and knows errors and timings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.serve.answers import AnswerBuilder, Json

if TYPE_CHECKING:
    from model.engine.generation import Delta

# A base model goes on behind "Assistant:" with a blank or a line end, which is no part of the answer.
_LEAD = re.compile(r"\A(?:[ \t]*\r?\n)*[ ]?")


@dataclass(kw_only=True)
class ChatAnswerBuilder(AnswerBuilder):
    """Builds one chat's answer, in chunks or whole."""

    logprobs: int | None = None
    object_name: str = "chat.completion.chunk"
    _leads: dict[int, str | None] = field(default_factory=dict)
    _spoken: set[int] = field(default_factory=set)

    def choice(self, delta: Delta) -> Json:
        """See `AnswerBuilder`."""
        text = self._without_lead(delta)
        said: Json = {}
        if delta.index not in self._spoken:
            self._spoken.add(delta.index)
            said["role"] = "assistant"
        if text or said:
            said["content"] = text
        return {
            "index": delta.index,
            "delta": said,
            "logprobs": None,
            "finish_reason": delta.finish_reason,
        }

    def says_something(self, chunk: Json) -> bool:
        """See `AnswerBuilder`."""
        (choice,) = chunk["choices"]
        return bool(choice["delta"] or choice["finish_reason"])

    def whole(self, chunks: Sequence[Json]) -> Json:
        """See `AnswerBuilder`."""
        texts: dict[int, str] = {}
        reasons: dict[int, str | None] = {}
        for chunk in chunks:
            (part,) = chunk["choices"]
            index = part["index"]
            texts[index] = texts.get(index, "") + part["delta"].get("content", "")
            reasons[index] = part["finish_reason"]
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": texts[index]},
                "logprobs": None,
                "finish_reason": reasons[index],
            }
            for index in sorted(texts)
        ]
        return {**self.closed(choices), "object": "chat.completion"}

    def _without_lead(self, delta: Delta) -> str:
        """The text without the white space that the answer begins with, held back until it has ended."""
        lead = self._leads.get(delta.index, "")
        if lead is None:
            return delta.text
        begun = lead + delta.text
        is_lead = not begun.strip()
        self._leads[delta.index] = begun if is_lead else None
        return "" if is_lead else _LEAD.sub("", begun, count=1)
