"""`POST /infill`, llama.cpp's own request to fill in the middle, as its editor plug-ins send it.

Source: llama.cpp, tools/server/README.md ("POST /infill") and server-task.cpp
(`server_task_result_cmpl_final::to_json_non_oaicompat`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from model.engine.generation import Delta, FinishReason, Timings
from model.serve.answers import AnswerBuilder, Json
from model.serve.protocol import CompletionBody, ContextItem, Inert, SamplingBody

_STOP_TYPES: dict[FinishReason | None, str] = {"stop": "eos", "length": "limit"}


class ExtraFile(BaseModel):
    """One of `input_extra`: another file, or a part of one. Plug-ins add when they saw it."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)
    filename: str = ""
    text: str


class InfillBody(SamplingBody):
    """The body of `POST /infill`. Fields of llama.cpp's samplers that are not named here have no effect."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)
    inert: ClassVar[Inert] = {}

    input_prefix: str
    input_suffix: str
    prompt: str = ""
    """What follows the prefix: the beginning of the cursor's line."""
    input_extra: list[ExtraFile] = Field(default_factory=list)
    n_predict: Annotated[int, Field(ge=-1)] = -1
    seed: Annotated[int, Field(ge=-1, lt=2**64)] | None = None
    response_fields: list[str] = Field(default_factory=list)
    """Those of an answer that is not streamed that are sent, inner ones by a path; empty for all."""

    @property
    def completion(self) -> CompletionBody:
        """The same request in this engine's own form."""
        return CompletionBody.model_validate(
            {
                "prompt": self.input_prefix + self.prompt,
                "suffix": self.input_suffix,
                "context": [ContextItem(path=one.filename, text=one.text) for one in self.input_extra],
                # -1 is "no limit"; 0 asks for the prompt to be read, which takes a token.
                **({} if self.n_predict < 0 else {"max_tokens": max(self.n_predict, 1)}),
                **({} if self.seed in (None, -1) else {"seed": self.seed}),
                **{
                    name: getattr(self, name)
                    for name in (
                        "temperature",
                        "top_p",
                        "top_k",
                        "min_p",
                        "repetition_penalty",
                        "stop",
                        "stream",
                        "ignore_eos",
                    )
                },
            }
        )


@dataclass(kw_only=True)
class InfillAnswerBuilder(AnswerBuilder):
    """Builds its answer, in chunks or whole."""

    logprobs: int | None = None
    response_fields: Sequence[str] = ()
    last_event: bytes = b""
    _text: list[str] = field(default_factory=list)

    def part(self, delta: Delta, choice: Json) -> Json:
        """See `AnswerBuilder`."""
        self._text.append(choice["text"])
        if delta.finish_reason is None:
            return {"index": 0, "content": choice["text"], "tokens": list(delta.token_ids), "stop": False}
        return self._last(choice["text"], delta)

    def says_something(self, chunk: Json) -> bool:
        """See `AnswerBuilder`."""
        return bool(chunk.get("content") or chunk.get("stop", True))

    def whole(self, chunks: Sequence[Json]) -> Json:
        """See `AnswerBuilder`."""
        return self._chosen({**chunks[-1], "content": "".join(self._text)})

    def _last(self, text: str, delta: Delta) -> Json:
        timings = delta.timings
        return {
            "index": 0,
            "content": text,
            "tokens": list(delta.token_ids),
            "stop": True,
            "model": self.model,
            "tokens_predicted": self.completion_tokens,
            "tokens_evaluated": timings.prompt_tokens if timings else 0,
            "tokens_cached": timings.prompt_tokens + timings.completion_tokens if timings else 0,
            "generation_settings": {},
            "has_new_line": "\n" in "".join(self._text),
            "truncated": False,
            "stop_type": _STOP_TYPES.get(delta.finish_reason, "none"),
            "stopping_word": "",
            "timings": _llama_timings(timings) if timings else {},
        }

    def _chosen(self, answer: Json) -> Json:
        if not self.response_fields:
            return answer
        found = ((path, _value_at(answer, path)) for path in self.response_fields)
        return {path: value for path, value in found if value is not None}


def _value_at(answer: Json, path: str) -> Any:
    """What stands at `timings/prompt_n`, say; None for nothing."""
    value: Any = answer
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _llama_timings(timings: Timings) -> Json:
    """Ours under llama.cpp's names, which plug-ins show."""
    n_prompt, n_predicted = timings.prompt_tokens - timings.cached_tokens, timings.completion_tokens
    return {
        "cache_n": timings.cached_tokens,
        **_rate("prompt", n_prompt, timings.prefill_ms),
        **_rate("predicted", n_predicted, timings.decode_ms),
    }


def _rate(name: str, count: int, milliseconds: float) -> Json:
    return {
        f"{name}_n": count,
        f"{name}_ms": milliseconds,
        f"{name}_per_token_ms": milliseconds / count if count else 0.0,
        f"{name}_per_second": 1e3 * count / milliseconds if milliseconds else 0.0,
    }
