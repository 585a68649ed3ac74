"""What the language server asks of a completion engine, and the client of our own.

Owns the question and the answer's pieces as the language server sees them. Free of torch; httpx
comes in with the first request. `model.client.openai` owns the dialects of other engines,
`model.process.process` finds and starts ours.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from model.client.http_session import END, Endpoint, HttpSession, Json
from model.errors import EngineUnavailableError
from model.local.backoff import Backoff

if TYPE_CHECKING:
    from model.client.chat import ChatQuery


@dataclass(frozen=True, kw_only=True)
class ContextText:
    """Text from another file that helps to complete this one. The nearest, or best, comes last."""

    path: str
    text: str


@dataclass(frozen=True, kw_only=True)
class CompletionQuery:
    """One question: what belongs between `prefix` and `suffix`?"""

    prefix: str
    suffix: str
    path: str | None = None
    repository: str | None = None
    """The name of what it belongs to."""
    context: tuple[ContextText, ...] = ()
    max_tokens: int = 64
    temperature: float = 0.0
    n: int = 1
    stop: tuple[str, ...] = ()
    closed_tail: str = ""
    """What the editor has put between `prefix` and `suffix`, of which the model is told nothing."""
    stop_at: str | None = None
    """`line` or `block`: where the engine ends by itself."""
    seed: int | None = None
    max_prompt_ms: int | None = None
    """How long a prompt may take to compute. Only our own engine knows before."""
    keep_suffix: bool = False
    """Whether the suffix may be kept as it was computed behind an older prefix. Only our own engine can."""


@dataclass(frozen=True, kw_only=True)
class CompletionDelta:
    """The next piece of one alternative, the `index`-th of `query.n`."""

    index: int
    text: str
    logprobs: tuple[float, ...] = ()
    """Natural logarithms of the probabilities of this piece's tokens; empty where a server gives none."""
    finish_reason: str | None = None
    """`stop`, `length` or `error` on the alternative's last piece, else None."""
    timings: Mapping[str, float] | None = None
    """Fields of `model.engine.generation.Timings` on the last piece, from our own engine only."""


@dataclass(frozen=True, kw_only=True)
class EngineHealth:
    """What an engine says about itself."""

    status: str
    model: str
    version: str = ""
    protocol: int = 0
    pid: int | None = None
    license: str | None = None
    restrictions: str | None = None
    """Use restrictions of the model's licence, in short, where it has any."""
    context_tokens: int | None = None
    """Tokens of prompt and answer together that the model can take; None where a server does not say."""
    chat: str | None = None
    """How it chats: `template` (instruct-tuned), `dialogue` (a base model), None where that is not said."""
    is_proof: bool = True
    """Whether an engine that says this also completes; many servers list their models to anybody."""


class CompletionClient(Protocol):
    """One completion engine. All methods raise `EngineUnavailableError` when it cannot be reached."""

    def complete(self, query: CompletionQuery) -> AsyncGenerator[CompletionDelta, None]:
        """Stream the alternatives' pieces. Closing the generator cancels the work.

        Raises `RequestError` when the engine is well but will not do what was asked.
        """

    def chat(self, query: ChatQuery) -> AsyncGenerator[CompletionDelta, None]:
        """Stream the assistant's answer, as alternative 0. Closing the generator cancels the work.

        Leaves out the conversation's oldest turns where room is short. Raises `ContextLengthError` when
        the last message alone is too long, and `RequestError` as `complete` does.
        """

    async def health(self) -> EngineHealth:
        """Ask the engine how it is."""

    async def aclose(self) -> None:
        """Close the connections; the engine lives on."""


PROBE = CompletionQuery(prefix="ready = ", suffix="\n", max_tokens=1)
"""What a server is asked to show that it completes: nobody's text, and one token."""


async def prove(client: CompletionClient) -> None:
    """Have a server complete something. Raises `EngineUnavailableError` or `RequestError` if it does not."""
    async with aclosing(client.complete(PROBE)) as deltas:
        async for _ in deltas:
            return


class EngineClient:
    """Our own engine, over a unix socket or a URL such as `http://127.0.0.1:8080`."""

    def __init__(
        self, *, unix_path: Path | None = None, url: str = "http://engine", token: str | None = None
    ) -> None:
        # A kept connection that the engine closed in this very moment is worth one more attempt.
        self._session = HttpSession(
            Endpoint(
                url=url,
                unix_path=unix_path,
                headers={} if token is None else {"authorization": f"Bearer {token}"},
                backoff=Backoff(first_s=0.0, max_retries=1),
                remedy="The engine is not running or has just ended.",
            )
        )
        self.is_lost = False
        """Whether the engine could not be reached at the last attempt."""

    def __str__(self) -> str:
        return str(self._session.endpoint)

    def complete(self, query: CompletionQuery) -> AsyncGenerator[CompletionDelta, None]:
        """See `CompletionClient`."""
        chunks = self._session.stream("/v1/completions", native_body(query))
        return deltas_of(chunks, query.n, str(self), self._watched())

    def chat(self, query: ChatQuery) -> AsyncGenerator[CompletionDelta, None]:
        """See `CompletionClient`."""
        from model.client.chat import chat_body

        chunks = self._session.stream("/v1/chat/completions", chat_body(query))
        return deltas_of(chunks, 1, str(self), self._watched())

    async def health(self) -> EngineHealth:
        """See `CompletionClient`."""
        with self._watched():
            answer = await self._session.get("/health")
        self.is_lost = False
        protocol, pid = answer.get("protocol"), answer.get("pid")
        context_tokens = answer.get("context_tokens")
        return EngineHealth(
            status=str(answer.get("status")),
            model=str(answer.get("model")),
            version=str(answer.get("version")),
            protocol=protocol if isinstance(protocol, int) else 0,  # another program may be answering
            pid=pid if isinstance(pid, int) else None,
            license=answer.get("license"),
            restrictions=answer.get("restrictions"),
            context_tokens=context_tokens if isinstance(context_tokens, int) else None,
            chat=answer.get("chat"),
        )

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Take note if the engine is lost while the block runs."""
        try:
            yield
        except EngineUnavailableError:
            self.is_lost = True
            raise

    async def shutdown(self) -> None:
        """Ask the engine to end; its running streams get an error."""
        await self._session.post("/shutdown", {})

    async def aclose(self) -> None:
        """See `CompletionClient`."""
        await self._session.aclose()


def native_body(query: CompletionQuery) -> Json:
    """The request in our engine's own fields."""
    body: dict[str, Any] = {
        "prompt": query.prefix,
        "suffix": query.suffix,
        "path": query.path,
        "repository": query.repository,
        "context": [{"path": item.path, "text": item.text} for item in query.context],
        "max_tokens": query.max_tokens,
        "temperature": query.temperature,
        "n": query.n,
        "stop": list(query.stop),
        "closed_tail": query.closed_tail or None,
        "stop_at": query.stop_at,
        "seed": query.seed,
        "max_prompt_ms": query.max_prompt_ms,
        "keep_suffix": query.keep_suffix,
        "stream": True,
        "logprobs": 0,
    }
    return {name: value for name, value in body.items() if value is not None}


async def deltas_of(
    chunks: AsyncGenerator[Json, None],
    n: int,
    server: str,
    watched: AbstractContextManager[None] | None = None,
) -> AsyncGenerator[CompletionDelta, None]:
    """Read OpenAI's chunks, of a completion or a chat; raise when they break off.

    Any end is an end: some servers name no reason, and the text that came is used.
    Closing this closes `chunks`. All of it happens within `watched`.
    """
    finished: set[int] = set()
    has_begun = has_ended = False
    with watched or nullcontext():
        async with aclosing(chunks):
            async for chunk in chunks:
                has_ended = has_ended or chunk is END
                for choice in chunk.get("choices") or ():
                    has_begun = True
                    delta = _delta(choice, chunk.get("timings"))
                    if delta.finish_reason is not None:
                        finished.add(delta.index)
                    yield delta
        missing = set(range(n)) - finished
        if missing and not (has_begun and has_ended):
            raise EngineUnavailableError(f"{server} ended its answer in the middle")
        for index in sorted(missing):
            yield CompletionDelta(index=index, text="", finish_reason="stop")


def _delta(choice: Json, timings: Any) -> CompletionDelta:
    # A chat's text stands in `delta`. Reasoning that is sent apart is no answer.
    text = choice.get("text") or (choice.get("delta") or {}).get("content")
    return CompletionDelta(
        index=int(choice.get("index") or 0),
        text=text or "",
        logprobs=_logprobs(choice.get("logprobs")),
        finish_reason=_finish_reason(choice.get("finish_reason")),
        timings=timings if isinstance(timings, Mapping) else None,
    )


def _finish_reason(value: Any) -> str | None:
    """Why an alternative ended, in OpenAI's words. TGI has words of its own, and "" before the end."""
    if not value or value in ("stop", "length", "error", "cancelled"):
        return value or None
    return "length" if value in ("max_tokens", "max_length") else "stop"


def _logprobs(value: Any) -> tuple[float, ...]:
    """Token log-probabilities in OpenAI's shape for completions or, as llama.cpp sends, for chats."""
    if not isinstance(value, Mapping):
        return ()
    given = value.get("token_logprobs")
    if given is None:
        given = [token.get("logprob") for token in value.get("content") or ()]
    return tuple(float(logprob) for logprob in given if logprob is not None)
