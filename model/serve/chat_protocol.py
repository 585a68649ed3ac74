"""The body of `POST /v1/chat/completions`: OpenAI's fields, checked as `model.serve.protocol` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from model.errors import RequestError
from model.prompt.conversation import Message
from model.serve.protocol import HINTS, INERT, WIRE, Inert, SamplingBody

# What llama.cpp's clients say of its samplers, beside values that leave those off.
_OF_SAMPLERS = frozenset(
    (
        *("samplers", "dynatemp_exponent", "xtc_threshold", "repeat_last_n", "dry_base"),
        *("dry_allowed_length", "dry_penalty_last_n", "timings_per_token", "t_max_prompt_ms"),
        *("t_max_predict_ms", "response_fields"),
    )
)

Speaker = Literal["system", "developer", "user", "assistant"]


class ChatMessage(BaseModel):
    """One message. `content` may come as a list of text parts; they are joined."""

    model_config = WIRE
    role: Speaker
    content: Any
    name: str | None = None
    # As a client's library repeats an answer of ours; full ones were never ours.
    annotations: Annotated[list[Any], Field(max_length=0)] = []
    tool_calls: Annotated[list[Any], Field(max_length=0)] = []

    @field_validator("content")
    @classmethod
    def _text(cls, value: Any) -> str:
        if isinstance(value, list):
            value = "".join(_part_text(part) for part in value)
        if not isinstance(value, str):
            raise ValueError("expected a text or a list of text parts")
        value.encode()  # half of a surrogate pair is a UnicodeEncodeError, which is a ValueError
        return value

    def message(self) -> Message:
        """As the rest of this package has it; "developer" is a newer name of "system"."""
        return Message(role="system" if self.role == "developer" else self.role, text=self.content)


class ChatBody(SamplingBody):
    """The body of `POST /v1/chat/completions`."""

    inert: ClassVar[Inert] = {
        **INERT,
        "logprobs": (False,),
        "top_logprobs": (0,),
        # Tools may be offered. The answer is a text, unless a call is required.
        "tool_choice": ("none", "auto"),
        "function_call": ("none", "auto"),
        "parallel_tool_calls": (True, False),
        "modalities": (["text"],),
        "dynatemp_range": (0,),
        "typical_p": (1,),
        "xtc_probability": (0,),
        "dry_multiplier": (0,),
        "repeat_penalty": (1,),
    }
    hints: ClassVar[frozenset[str]] = HINTS | _OF_SAMPLERS | {"tools", "functions"}

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=-1)] | None = None
    """-1 is llama.cpp's way to leave it to the engine."""
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n_predict: Annotated[int, Field(ge=-1)] | None = None
    """llama.cpp's name of it; 0 asks for the prompt to be read, which takes a token."""

    @field_validator("max_tokens")
    @classmethod
    def _at_least_one(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("expected at least 1, or -1 to leave it to the engine")
        return value

    @model_validator(mode="after")
    def _one_limit(self) -> ChatBody:
        if None not in (self.max_tokens, self.max_completion_tokens):
            raise RequestError(
                "max_tokens and max_completion_tokens mean the same: send one of them", field="max_tokens"
            )
        return self

    @property
    def limit(self) -> int | None:
        """How many tokens the answer may have; None leaves it to the engine."""
        given = (self.max_tokens, self.max_completion_tokens, self.n_predict)
        return next((max(each, 1) for each in given if each is not None and each >= 0), None)

    @property
    def each(self) -> list[ChatBody]:
        """As `CompletionBody.each`: a chat is one prompt."""
        return [self]

    @property
    def logprobs(self) -> None:
        """Not available for chats."""

    @property
    def conversation(self) -> list[Message]:
        """The messages."""
        return [message.message() for message in self.messages]

    @property
    def n_chars(self) -> int:
        """How much text there is to encode."""
        return sum(len(message.content) for message in self.messages)


def _part_text(part: object) -> str:
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, Mapping) else part
    raise ValueError(f"a part of type {kind!r} is not supported: only text is")
