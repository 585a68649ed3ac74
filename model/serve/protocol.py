"""The body of `POST /v1/completions`: OpenAI's fields and ours, checked; and how any body is checked.

Nothing that would change an answer is accepted and then ignored: a field that is unknown, or known elsewhere
but without effect here, is an error that names it. Labels and hints, which change none, may stand
(and of `/infill`, whose clients send all of llama.cpp's settings, what it does not know). Null
counts as absent, at any depth. Knows neither the engine nor HTTP; `model.serve.prompting` turns a body
into work for the engine, `model.serve.answers` builds what comes back. The other body is
`model.serve.chat_protocol`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from model.errors import RequestError

MAX_ALTERNATIVES = 32
MAX_LOGPROBS = 20
MAX_PROMPTS = 256

Inert = Mapping[str, tuple[Any, ...]]
"""Fields that this engine does not act on, each with the values that ask for nothing."""

# Of OpenAI's, vLLM's and llama.cpp's fields those that label a request or say how it is best served.
HINTS = frozenset(
    (
        *("user", "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"),
        *("service_tier", "reasoning_effort", "verbosity", "store", "cache_prompt", "id_slot", "priority"),
    )
)

# Fields of OpenAI's and vLLM's.
INERT: Inert = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "min_tokens": (0,),
    "length_penalty": (1,),
    "use_beam_search": (False,),
    "early_stopping": (False,),
    "stop_token_ids": ([],),
    "include_stop_str_in_output": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "prompt_logprobs": (),
    "response_format": ({"type": "text"},),
}

WIRE = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class ContextItem(BaseModel):
    """Another file whose text stands before the one being completed."""

    model_config = WIRE
    path: str
    text: str


class StreamOptions(BaseModel):
    """OpenAI's `stream_options`."""

    model_config = WIRE
    include_usage: bool = False
    include_obfuscation: bool = False
    """Random characters against listeners, of which a connection within the machine has none: not added."""


class SamplingBody(BaseModel):
    """What both kinds of requests have: how tokens are chosen, where the answer ends, how it is sent."""

    model_config = WIRE
    inert: ClassVar[Inert] = INERT
    hints: ClassVar[frozenset[str]] = HINTS

    model: str | None = None
    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    n: Annotated[int, Field(ge=1, le=MAX_ALTERNATIVES)] = 1
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    stop: Any = ()
    stream: bool = False
    stream_options: StreamOptions | None = None
    ignore_eos: bool = False

    # A union of types would be reported once for each member; this says it in one sentence.
    @field_validator("stop")
    @classmethod
    def _stop_strings(cls, value: Any) -> tuple[str, ...]:
        strings = [value] if isinstance(value, str) else [*value] if isinstance(value, tuple) else value
        if not is_list_of(strings, str) or "" in strings:
            raise ValueError("expected a text or a list of texts, none of them empty")
        return tuple(strings)


class CompletionBody(SamplingBody):
    """The body of `POST /v1/completions`."""

    prompt: Any
    suffix: str | None = None
    max_tokens: Annotated[int, Field(ge=0)] = 128
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    echo: bool = False
    context: list[ContextItem] = []
    stop_at: Literal["line", "block"] | None = None
    closed_tail: str = ""
    """What an editor has put between the prompt and `suffix`; the model does not see it."""
    path: str | None = None
    repository: str | None = None
    """Its name, for models that know repositories."""
    fim_order: Literal["spm", "psm"] | None = None
    """None: the order that the model was trained on, the first of them."""
    heal: bool = True
    max_prompt_ms: Annotated[int, Field(ge=1, le=60_000)] | None = None
    """How long a prompt of which nothing is known may take to compute; None: as long as it takes."""
    keep_suffix: bool = False
    """Whether the suffix may be kept as it was computed behind an older prefix."""
    fim_text: bool | None = None
    """Whether a prompt with the model's own sentinels is read as one that fills in the middle. None: the
    engine's setting."""

    @field_validator("prompt")
    @classmethod
    def _prompts(cls, value: Any) -> Any:
        if _is_prompt(value):
            return value
        if isinstance(value, list) and value and all(map(_is_prompt, value)):
            if len(value) > MAX_PROMPTS:
                raise ValueError(f"{len(value)} prompts are too many: send at most {MAX_PROMPTS}")
            return value
        raise ValueError("expected a text, a list of token ids, or a list of either")

    @model_validator(mode="after")
    def _what_is_told(self) -> CompletionBody:
        if self.echo and self.is_fim:
            raise RequestError(
                "echo = true does not go with suffix or context: their prompt is made of several texts",
                field="echo",
            )
        if not self.max_tokens and not self.echo:
            raise RequestError(
                "max_tokens = 0 leaves nothing to answer: ask for at least 1, or set echo", field="max_tokens"
            )
        return self

    @property
    def each(self) -> list[CompletionBody]:
        """The same request for each of its prompts, of which there may be several."""
        if _is_prompt(self.prompt):
            return [self]
        return [self.model_copy(update={"prompt": prompt}) for prompt in self.prompt]

    @property
    def is_fim(self) -> bool:
        """Whether the prompt is the text before a cursor; else it is continued just as it is."""
        return self.suffix is not None or bool(self.context)

    @property
    def n_chars(self) -> int:
        """How much text there is to encode."""
        prompts = (one.prompt for one in self.each)
        prompt = sum(len(prompt) for prompt in prompts if isinstance(prompt, str))
        return prompt + len(self.suffix or "") + sum(len(item.text) for item in self.context)


def _is_prompt(value: Any) -> bool:
    """Whether a value is one prompt. Raises `ValueError` for half of a surrogate pair."""
    if isinstance(value, str):
        value.encode()  # a UnicodeEncodeError is a ValueError
        return True
    return is_list_of(value, int)


def is_list_of(value: Any, kind: type) -> bool:
    """Whether a value is a list of exactly this type (true is no number)."""
    return isinstance(value, list) and all(type(item) is kind for item in value)


Body = TypeVar("Body", bound=SamplingBody)


def parse_body(raw: bytes, kind: type[Body]) -> Body:
    """Read a request. Raises `RequestError`, which names the field and the value."""
    try:
        values = _without_nulls(json.loads(raw))
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise RequestError(f"the body is a JSON {type(values).__name__}, not an object")
    try:
        return kind.model_validate(_without_inert(values, kind))
    except ValidationError as error:
        raise _as_request_error(error, kind) from error


def _without_nulls(value: Any) -> Any:
    """The value without the fields that are null, which means "the default" in OpenAI's API."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return [_without_nulls(each) for each in value]
    return value


def _without_inert(values: dict[str, Any], kind: type[SamplingBody]) -> dict[str, Any]:
    """Drop the fields that ask for nothing. Raises `RequestError` for those that ask for something."""
    best_of = values.get("best_of")
    if best_of not in (None, values.get("n") or 1):
        raise RequestError(
            f"best_of = {best_of!r} is not supported: ask for n alternatives and choose by their logprobs",
            field="best_of",
        )
    for name, harmless in kind.inert.items():
        if name in values and (value := values[name]) not in harmless:
            allowed = " or ".join(json.dumps(item) for item in (*harmless, None))
            raise RequestError(
                f"{name} = {value!r} is not supported: leave it out or send {allowed}", field=name
            )
    unused = kind.inert.keys() | kind.hints | {"best_of"}
    return {key: value for key, value in values.items() if key not in unused}


def _as_request_error(error: ValidationError, kind: type[SamplingBody]) -> RequestError:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(kind.model_fields))
        return RequestError(f"unknown field {name!r}: known are {known}", field=name)
    if first["type"] == "missing":
        return RequestError(f"{name} is missing", field=name)
    reason = first["msg"].removeprefix("Value error, ")
    value = repr(first["input"])
    shown = value if len(value) <= 80 else value[:77] + "..."
    return RequestError(f"{name} = {shown}: {reason[0].lower()}{reason[1:]}", field=name)
