"""`POST /v1/fim/completions`: Mistral's request to fill in the middle, answered as a chat is.

Source: Mistral's API reference, "FIM Completion API".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from model.engine.generation import Delta
from model.serve.chat_answers import ChatAnswerBuilder
from model.serve.protocol import CompletionBody, Inert, SamplingBody


class FimBody(SamplingBody):
    """The body of `POST /v1/fim/completions`."""

    inert: ClassVar[Inert] = {"min_tokens": (0,)}

    prompt: str
    suffix: str = ""
    max_tokens: Annotated[int, Field(ge=1)] = 128
    random_seed: Annotated[int, Field(ge=0, lt=2**64)] | None = None

    @property
    def completion(self) -> CompletionBody:
        """The same request in this engine's own form."""
        fields = self.model_dump(exclude={"random_seed", "stream_options"}, exclude_none=True)
        if self.random_seed is not None:
            fields["seed"] = self.random_seed
        return CompletionBody.model_validate({**fields, "stream_options": self.stream_options})


@dataclass(kw_only=True)
class FimAnswerBuilder(ChatAnswerBuilder):
    """Builds its answer: a chat's, whose white space counts."""

    def _without_lead(self, delta: Delta) -> str:
        return delta.text
