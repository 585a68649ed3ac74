"""The client of any OpenAI-compatible server: vLLM, llama.cpp, Ollama, TGI, or our engine elsewhere.

Owns what differs between them: how the middle is asked for, which optional fields they refuse, and
stopping, which is done here because they know only stop strings. Free of torch.

What they do with `suffix`: Ollama fills its model's template with it; vLLM, llama.cpp and TGI refuse
it, and take the family's own tokens in a raw prompt instead (Ollama would put its chat template
around that).
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model.client.chat import ChatQuery, ForeignChat
from model.client.client import CompletionDelta, CompletionQuery, EngineHealth, deltas_of, native_body
from model.client.http_session import Endpoint, HttpSession, Json, NotFoundError
from model.client.query_window import windowed_query
from model.client.retries import DispensableFields, asked_again
from model.errors import EngineUnavailableError, RequestError
from model.local.backoff import Backoff
from model.local.port_token import token_for
from model.prompt.fim_templates import TEMPLATES, FimTemplate, template_name
from model.stopping.stopping import StopAt, StopRules, StopState

AUTO, SUFFIX, NONE = "auto", "suffix", "none"
FIM_CHOICES = (AUTO, SUFFIX, NONE, *TEMPLATES)

# About 8,000 tokens of code: no more than these models were trained on, and a prefill that stays bearable.
MAX_PROMPT_CHARS = 24_000
# OpenAI takes no more stop strings. The others are looked for here.
_MAX_WIRE_STOPS = 4
_OURS = "starcoder-lsp"
_NOT_OLLAMA = ("vllm", "llamacpp", _OURS)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one server wants to be asked."""

    model: str
    owner: str
    fim: str
    """`suffix`, `none`, or a key of `TEMPLATES`."""

    @property
    def template(self) -> FimTemplate | None:
        """The tokens to put around prefix and suffix, where the server leaves that to us."""
        return TEMPLATES.get(self.fim)


class OpenAIClient:
    """A `CompletionClient` of a server that is not ours to start.

    `url` is the server's root or its `/v1`. `model` None takes the first that the server lists.
    `fim_template` is one of `FIM_CHOICES`. `api_key_env` names the variable that holds the key.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key_env: str | None = None,
        fim_template: str = AUTO,
        max_prompt_chars: int = MAX_PROMPT_CHARS,
        ca_file: Path | None = None,
    ) -> None:
        if fim_template not in FIM_CHOICES:
            raise RequestError(f"engine.fimTemplate = {fim_template!r}: known are {', '.join(FIM_CHOICES)}")
        self._session = HttpSession(
            Endpoint(
                url=base_url(url),
                headers=_authorization(api_key_env),
                token=partial(_token, base_url(url), api_key_env),
                ca_file=ca_file,
                backoff=Backoff(first_s=0.25, factor=4.0, max_retries=2),
                remedy="Is the server of engine.url running, and is the address right?",
            )
        )
        self._model = model
        self._fim_template = fim_template
        self._max_prompt_chars = max_prompt_chars
        self._dialect: Dialect | None = None
        self._dispensable = DispensableFields("logprobs", "seed")
        self._chat = ForeignChat(self._session, max_prompt_chars=max_prompt_chars)

    def __str__(self) -> str:
        return str(self._session.endpoint)

    def complete(self, query: CompletionQuery) -> AsyncGenerator[CompletionDelta, None]:
        """See `CompletionClient`."""
        windowed = windowed_query(query, self._max_prompt_chars)
        return asked_again(lambda: self._once(windowed), self._do_without, RequestError)

    async def chat(self, query: ChatQuery) -> AsyncGenerator[CompletionDelta, None]:
        """See `CompletionClient`."""
        dialect = await self.dialect()
        async with aclosing(self._chat.ask(query, dialect.model)) as deltas:
            async for delta in deltas:
                yield delta

    async def health(self) -> EngineHealth:
        """See `CompletionClient`; the version is not part of this API."""
        self._dialect = None
        dialect = await self.dialect()
        return EngineHealth(status="ok", model=dialect.model, is_proof=dialect.owner == _OURS)

    async def aclose(self) -> None:
        """See `CompletionClient`."""
        await self._session.aclose()

    async def dialect(self) -> Dialect:
        """How to ask this server, found out once."""
        if self._dialect is None:
            self._dialect = await self._detect()
        return self._dialect

    async def _detect(self) -> Dialect:
        try:
            entries = (await self._session.get("/models")).get("data") or [{}]
        except NotFoundError:
            if self._model is None:
                raise
            entries = [{}]  # a server without this page; which model is asked is known
        entry = next((item for item in entries if item.get("id") == self._model), entries[0])
        model = self._model or str(entry.get("id") or "")
        if not model:
            raise EngineUnavailableError(f"{self} lists no model: name one in the setting `model`")
        owner = str(entry.get("owned_by") or "")
        # An alias (`--served-model-name`) says nothing about the family; vLLM's `root` is the real name.
        names = (model, str(entry.get("root") or ""))
        return Dialect(model=model, owner=owner, fim=await self._fim(owner, names))

    async def _fim(self, owner: str, names: tuple[str, ...]) -> str:
        if self._fim_template != AUTO:
            return self._fim_template
        if await self._is_ollama(owner):
            return SUFFIX
        return next((found for name in names if (found := template_name(name))), SUFFIX)

    async def _is_ollama(self, owner: str) -> bool:
        if owner in _NOT_OLLAMA:
            return False
        root = urlsplit(self._session.endpoint.url)
        try:
            answer = await self._session.get(f"{root.scheme}://{root.netloc}/api/version")
        except (EngineUnavailableError, RequestError):
            return False  # any other server: it has no such page
        return "version" in answer

    async def _once(self, query: CompletionQuery) -> AsyncGenerator[CompletionDelta, None]:
        dialect = await self.dialect()
        is_ours = dialect.owner == _OURS
        body = native_body(query) | {"model": dialect.model} if is_ours else self._body(query, dialect)
        # Servers that do not know `n` answer with one alternative; that is an answer too.
        chunks = self._session.stream("/completions", body)
        deltas = deltas_of(chunks, query.n if is_ours else 1, str(self))
        results = deltas if is_ours else stopped(deltas, query, _stops(query, dialect))
        async with aclosing(results):
            async for delta in results:
                yield delta

    def _body(self, query: CompletionQuery, dialect: Dialect) -> Json:
        body: dict[str, Any] = {
            "model": dialect.model,
            "prompt": _prompt(query, dialect.template),
            "max_tokens": query.max_tokens,
            "temperature": query.temperature,
            "stop": list(_stops(query, dialect)[:_MAX_WIRE_STOPS]) or None,
            "seed": query.seed,
            "logprobs": 1,
            "n": query.n if query.n > 1 else None,
            "suffix": query.suffix if dialect.fim == SUFFIX else None,
            "stream": True,
        }
        return self._dispensable.kept(body)

    async def _do_without(self, error: RequestError) -> None:
        """Leave out the field that a server refused from now on, or raise with the remedy."""
        if self._dispensable.drop_refused(error):
            return
        of_suffix = "suffix" in str(error) or "insert" in str(error)
        if of_suffix and (dialect := await self.dialect()).fim == SUFFIX:
            family = template_name(dialect.model) if self._fim_template == AUTO else None
            if family is not None:  # an Ollama model without a template passes our tokens on
                self._dialect = replace(dialect, fim=family)
                return
            raise RequestError(
                f"{error}. Take a model that fills in the middle (with Ollama qwen2.5-coder:1.5b-base, for "
                f"example), or set engine.fimTemplate to the family of {dialect.model!r}: "
                f"{', '.join(TEMPLATES)}; 'none' continues the text before the cursor only.",
                field="suffix",
            ) from error
        raise error


def base_url(url: str) -> str:
    """The API's base, ending in `/v1` or the server's own path, from what users write."""
    parts = urlsplit(url.strip())
    try:
        _ = parts.port
    except ValueError as error:
        raise RequestError(f"engine.url = {url!r}: {error}, that is 1 to 65535") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError(f"engine.url = {url!r}: expected http://HOST:PORT or https://HOST/v1")
    path = parts.path.rstrip("/").removesuffix("/completions").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def _token(url: str, api_key_env: str | None) -> str | None:
    """That of an engine of ours, which may be started again with another, unless a key is named."""
    return token_for(url) if api_key_env is None else None


def _authorization(api_key_env: str | None) -> Mapping[str, str]:
    if api_key_env is None:
        return {}
    if not (key := os.environ.get(api_key_env)):
        raise EngineUnavailableError(
            f"engine.apiKeyEnv names {api_key_env}, which is not set in the environment"
        )
    return {"authorization": f"Bearer {key}"}


def _prompt(query: CompletionQuery, template: FimTemplate | None) -> str:
    if template is None:
        return query.prefix
    context = [(item.path, item.text) for item in query.context]
    return template.render(query.prefix, query.suffix, context, query.path)


def _stops(query: CompletionQuery, dialect: Dialect) -> tuple[str, ...]:
    return (*query.stop, *(dialect.template.stops if dialect.template else ()))


async def stopped(
    deltas: AsyncGenerator[CompletionDelta, None], query: CompletionQuery, stops: tuple[str, ...]
) -> AsyncGenerator[CompletionDelta, None]:
    """Apply the stop rules to each alternative, and end, and close `deltas`, once all of them have ended."""
    rules = StopRules.for_cursor(
        query.prefix,
        query.suffix,
        stop=stops,
        stop_at=None if query.stop_at is None else StopAt(query.stop_at),
        path=query.path,
        closed_tail=query.closed_tail,
    )
    states = {index: StopState(rules) for index in range(query.n)}
    async with aclosing(deltas):
        async for delta in deltas:
            state = states.get(delta.index)
            if state is None:
                continue  # cut already; the server has not heard of it
            result = state.push(delta.text)
            text, reason = result.emit, delta.finish_reason
            if result.finished:
                reason = "stop"
            elif reason is not None:
                text += state.flush()
            if reason is not None:
                del states[delta.index]
            if text or reason is not None or delta.logprobs:
                yield replace(delta, text=text, finish_reason=reason)
            if not states:
                return
