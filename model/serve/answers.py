"""The answers of `/v1/completions`: OpenAI's `text_completion` objects, errors and our `timings`.

`model.serve.chat_answers` builds those of chats on top of this.

Pure building of plain objects from the engine's deltas. Knows nothing about HTTP or streams.
"""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from model.errors import ContextLengthError, EngineUnavailableError, ModelError, RequestError

if TYPE_CHECKING:
    from model.engine.generation import Delta, GenerationRequest, Timings

Json = dict[str, Any]

# JSON has no -Infinity; the same floor as OpenAI's and vLLM's.
_LEAST_LOGPROB = -9999.0

DONE_EVENT = b"data: [DONE]\n\n"


def event(value: Json) -> bytes:
    """One server-sent event. JSON has no raw line ends, so one `data:` line holds it."""
    return b"data: " + dump(value) + b"\n\n"


def dump(value: Json) -> bytes:
    """Compact JSON, ASCII only: no U+2028 for a client to trip over."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def error_object(error: Exception) -> Json:
    """OpenAI's error object; `param` is the field at fault."""
    if isinstance(error, RequestError):
        code = "context_length_exceeded" if isinstance(error, ContextLengthError) else None
        return _error(str(error), "invalid_request_error", param=error.field, code=code)
    if isinstance(error, EngineUnavailableError):
        return stopping_error()
    if isinstance(error, ModelError):
        return engine_error(str(error))
    return _error(f"{type(error).__name__}: {error} (the engine's log has the details)", "internal_error")


def engine_error(message: str) -> Json:
    """The error object of one generation that failed in the engine."""
    return _error(message, "engine_error")


def stopping_error() -> Json:
    """What a request gets that the engine's end cuts short; `model.client.client` knows the code."""
    return _error("the engine is shutting down: connect again", "engine_error", code="shutting_down")


def access_error(message: str) -> Json:
    """A request from somebody who must not use this engine."""
    return _error(message, "access_error")


def route_error(message: str) -> Json:
    """A request to a path, or by a method, that there is not."""
    return _error(message, "invalid_request_error", code="unknown_url")


def _error(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> Json:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass
class _Prompt:
    """One prompt of a request, and the indices of its alternatives."""

    indices: range
    request: GenerationRequest
    timings: Timings | None = None


@dataclass(kw_only=True)
class AnswerBuilder:
    """Builds one request's answer, in chunks or whole, and counts its tokens."""

    request_id: str
    model: str
    logprobs: int | None
    """The request's own: None for none, 0 for those of the chosen tokens, else that many more a token."""
    token_bytes: Callable[[int], bytes]
    object_name: str = "text_completion"
    echo: bool = False
    """Whether each text begins with its prompt."""
    last_event: bytes = DONE_EVENT
    """What a stream ends with."""
    tells_timings: bool = True
    """Whether it says how long the work took and how much of the prompt was known already, which tells of the
    prompts of others."""
    answers: bool = True
    """Whether the answer holds what the model adds to the prompt."""
    created_s: int = field(default_factory=lambda: int(time.time()))
    completion_tokens: int = 0
    _timings: Timings | None = None
    _prompts: list[_Prompt] = field(default_factory=list)
    _echoed: set[int] = field(default_factory=set)
    _offsets: dict[int, _Offsets] = field(default_factory=dict)

    def begin(self, indices: range, request: GenerationRequest) -> None:
        """Take note of a prompt, before its alternatives with these indices begin."""
        self._prompts.append(_Prompt(indices, request))

    def chunk(self, delta: Delta) -> Json:
        """Count a delta and return the object of its event."""
        if not self.answers:
            delta = replace(delta, text="", token_ids=(), logprobs=(), top_logprobs=())
        if self.echo and delta.index not in self._echoed:
            self._echoed.add(delta.index)
            return self._chunk(delta, self._prompt(delta.index).request)
        return self._chunk(delta, None)

    def _chunk(self, delta: Delta, echoed: GenerationRequest | None) -> Json:
        self.completion_tokens += len(delta.token_ids)
        choice = self.choice(delta)
        if echoed is not None:
            choice["text"] = (echoed.echo or "") + choice["text"]
            if choice["logprobs"] is not None:
                choice["logprobs"] = self._with_prompt(choice["logprobs"], delta, echoed)
        chunk = self.part(delta, choice)
        if delta.error is not None:
            chunk |= engine_error(delta.error)
        if delta.timings is not None:
            self._timings = self._prompt(delta.index).timings = delta.timings
            chunk.setdefault("timings", asdict(delta.timings))
            if not self.tells_timings:
                del chunk["timings"]
        return chunk

    def part(self, delta: Delta, choice: Json) -> Json:
        """A delta's event, around what it adds to its alternative."""
        return self._envelope([choice])

    def choice(self, delta: Delta) -> Json:
        """What a delta adds to its alternative."""
        return {
            "index": delta.index,
            "text": delta.text,
            "logprobs": self._logprobs(delta) if self.logprobs is not None else None,
            "finish_reason": delta.finish_reason,
        }

    def says_something(self, chunk: Json) -> bool:
        """Whether an event is worth sending: text may be held back while tokens are already counted."""
        (choice,) = chunk["choices"]
        return bool(choice["text"] or choice["logprobs"] or choice["finish_reason"])

    def usage_chunk(self) -> Json:
        """The last object of a stream whose `stream_options.include_usage` is true."""
        return {**self._envelope([]), "usage": self._usage()}

    def whole(self, chunks: Sequence[Json]) -> Json:
        """The one object of an answer that is not streamed."""
        choices: dict[int, Json] = {}
        for chunk in chunks:
            (part,) = chunk["choices"]
            _append(choices.setdefault(part["index"], {**part, "text": ""}), part)
        return self.closed([choices[index] for index in sorted(choices)])

    def closed(self, choices: Sequence[Json]) -> Json:
        """These choices with what is known at the end: usage and timings."""
        answer = {**self._envelope(choices), "usage": self._usage()}
        if self._timings is not None and self.tells_timings:
            answer["timings"] = asdict(self._timings)
        return answer

    def _envelope(self, choices: Sequence[Json]) -> Json:
        return {
            "id": self.request_id,
            "object": self.object_name,
            "created": self.created_s,
            "model": self.model,
            "choices": choices,
        }

    def _usage(self) -> Json:
        # A prompt's side is known once an alternative of it has finished.
        known = [prompt.timings for prompt in self._prompts if prompt.timings is not None]
        prompt_tokens = sum(timings.prompt_tokens for timings in known)
        usage: Json = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": prompt_tokens + self.completion_tokens,
        }
        if self.tells_timings:
            cached_tokens = sum(timings.cached_tokens for timings in known)
            usage["prompt_tokens_details"] = {"cached_tokens": cached_tokens}
        return usage

    def _prompt(self, index: int) -> _Prompt:
        return next(prompt for prompt in self._prompts if index in prompt.indices)

    def _with_prompt(self, logprobs: Json, delta: Delta, request: GenerationRequest) -> Json:
        """The log-probabilities with those of the prompt's tokens before them; the first has none."""
        scores = delta.prompt_scores
        assert scores is not None
        tokens = [self._token_text(token_id) for token_id in request.prompt_ids]
        of_prompt = _Offsets()
        offsets = [of_prompt.next(self.token_bytes(token_id)) for token_id in request.prompt_ids]
        n_chars = of_prompt.n_chars
        self._offsets[delta.index].n_chars += n_chars
        top = None
        if logprobs["top_logprobs"] is not None:
            top = [None, *(self._by_text(each) for each in scores.top), *logprobs["top_logprobs"]]
        own = [max(value, _LEAST_LOGPROB) for value in scores.logprobs]
        return {
            "tokens": [*tokens, *logprobs["tokens"]],
            "token_logprobs": [None, *own, *logprobs["token_logprobs"]],
            "top_logprobs": top,
            "text_offset": [*offsets, *(n_chars + each for each in logprobs["text_offset"])],
        }

    def _by_text(self, top: Mapping[int, float]) -> dict[str, float]:
        return {self._token_text(token_id): max(value, _LEAST_LOGPROB) for token_id, value in top.items()}

    def _logprobs(self, delta: Delta) -> Json:
        offsets = self._offsets.setdefault(delta.index, _Offsets())
        text_offsets = [offsets.next(self.token_bytes(token_id)) for token_id in delta.token_ids]
        return {
            "tokens": [self._token_text(token_id) for token_id in delta.token_ids],
            "token_logprobs": [max(value, _LEAST_LOGPROB) for value in delta.logprobs],
            "top_logprobs": [self._by_text(top) for top in delta.top_logprobs] if self.logprobs else None,
            "text_offset": text_offsets,
        }

    def _token_text(self, token_id: int) -> str:
        """How one token is shown beside its log-probability: its text or, as OpenAI writes them, its bytes.

        The bytes keep two tokens apart that are both half a character.
        """
        spelled = self.token_bytes(token_id)
        try:
            return spelled.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelled)


class _Offsets:
    """Where each token's text begins, in characters; within a character, where that begins."""

    def __init__(self) -> None:
        self.n_chars = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def next(self, spelled: bytes) -> int:
        """The place of the next token, which stands for these bytes."""
        begins_at = self.n_chars
        self.n_chars += len(self._decoder.decode(spelled))
        return begins_at


def _append(choice: Json, part: Json) -> None:
    """Add a later chunk of the same alternative to what came before."""
    choice["text"] += part["text"]
    choice["finish_reason"] = part["finish_reason"]
    before, after = choice["logprobs"], part["logprobs"]
    if before is not None and before is not after:
        for key in ("tokens", "token_logprobs", "text_offset"):
            before[key] += after[key]
        if before["top_logprobs"] is not None:
            before["top_logprobs"] += after["top_logprobs"]
