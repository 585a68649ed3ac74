"""Asking for an answer in a conversation: the question, and how it is put to each kind of server.

Our own engine and instruct-tuned models elsewhere take `/chat/completions`. A server that has a base
model, or no chats at all, is given the technical assistant's dialogue to continue. Free of torch.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from model.client.client import CompletionDelta, deltas_of
from model.client.http_session import HttpSession, Json, NotFoundError
from model.client.retries import DispensableFields, asked_again
from model.errors import ContextLengthError, ModelError, RequestError
from model.prompt.conversation import Messages, fitted, n_turns, without_oldest
from model.prompt.dialogue import HUMAN, dialogue, mentions_marks
from model.stopping.stopping import StopAt, StopRules, StopState

_NO_TEMPLATE = re.compile(r"chat.?template|does not support chat|not a chat model", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ChatQuery:
    """One question in a conversation: what does the assistant say next? The user speaks last."""

    messages: Messages
    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None

    @property
    def n_chars(self) -> int:
        """How long the conversation is."""
        return sum(len(message.text) for message in self.messages)


def chat_body(query: ChatQuery) -> Json:
    """The request in OpenAI's fields."""
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.text} for message in query.messages],
        "max_tokens": query.max_tokens,
        "temperature": query.temperature,
        "top_p": query.top_p,
        "stop": list(query.stop) or None,
        "seed": query.seed,
        "stream": True,
    }
    return {name: value for name, value in body.items() if value is not None}


class ForeignChat:
    """Chats with a server that is not ours; remembers what it refused."""

    def __init__(self, session: HttpSession, *, max_prompt_chars: int) -> None:
        self._session = session
        self._max_prompt_chars = max_prompt_chars
        self._renamed: dict[str, str] = {}
        self._dispensable = DispensableFields("seed", "top_p", "temperature", "stop")
        self._has_no_chats = False

    def ask(self, query: ChatQuery, model: str) -> AsyncGenerator[CompletionDelta, None]:
        """Stream the answer. Raises `ContextLengthError` when even the last turn is too long."""
        query = self._cut(query)

        async def ask_otherwise(error: ModelError) -> None:
            nonlocal query
            query = self._otherwise(query, error)

        return asked_again(lambda: self._once(query, model), ask_otherwise, (RequestError, NotFoundError))

    def _cut(self, query: ChatQuery) -> ChatQuery:
        """The query without its oldest turns beyond our limit of characters: only servers count tokens."""
        kept = fitted(
            query.messages, lambda some: sum(len(each.text) for each in some) <= self._max_prompt_chars
        )
        if kept is None:
            raise ContextLengthError(
                f"the question has {query.n_chars} characters of at most {self._max_prompt_chars}: send less",
                field="messages",
            )
        return replace(query, messages=kept)

    def _once(self, query: ChatQuery, model: str) -> AsyncGenerator[CompletionDelta, None]:
        return self._by_dialogue(query, model) if self._has_no_chats else self._by_chat(query, model)

    def _by_chat(self, query: ChatQuery, model: str) -> AsyncGenerator[CompletionDelta, None]:
        return self._deltas("/chat/completions", self._body(chat_body(query), model))

    def _by_dialogue(self, query: ChatQuery, model: str) -> AsyncGenerator[CompletionDelta, None]:
        """Ask by the technical assistant's prompt. The end of the answer is found here."""
        quoted = mentions_marks(query.messages)
        body = chat_body(query) | {
            "prompt": dialogue(query.messages),
            # Where code may quote the mark, the server must not stop at it; we see the difference.
            "stop": list(query.stop) or (None if quoted else [f"\n{HUMAN}"]),
        }
        del body["messages"]
        rules = StopRules(stop=query.stop, stop_at=StopAt.TURN, code_is_quoted=quoted)
        return _to_turn_end(self._deltas("/completions", self._body(body, model)), rules)

    def _deltas(self, path: str, body: Json) -> AsyncGenerator[CompletionDelta, None]:
        return deltas_of(self._session.stream(path, body), 1, str(self._session.endpoint))

    def _body(self, body: Json, model: str) -> Json:
        given = {"model": model, **body}
        return {self._renamed.get(name, name): value for name, value in self._dispensable.kept(given).items()}

    def _otherwise(self, query: ChatQuery, error: ModelError) -> ChatQuery:
        """The query for the next attempt, or the error if there is nothing else to try."""
        reason = str(error)
        if isinstance(error, ContextLengthError):
            if (turns := n_turns(query.messages)) == 1:
                raise error
            return replace(query, messages=without_oldest(query.messages, max(1, turns // 2)))
        is_missing = isinstance(error, NotFoundError) or _NO_TEMPLATE.search(reason) is not None
        if is_missing:
            self._has_no_chats = not self._has_no_chats  # neither page answers: begin anew next time
            if self._has_no_chats:
                return query
            raise error
        if "max_completion_tokens" in reason and not self._renamed:
            self._renamed["max_tokens"] = "max_completion_tokens"
            return query
        if not self._dispensable.drop_refused(error):
            raise error
        return query


async def _to_turn_end(
    deltas: AsyncGenerator[CompletionDelta, None], rules: StopRules
) -> AsyncGenerator[CompletionDelta, None]:
    """The deltas up to the end of the answer's turn, without the white space around it."""
    state = StopState(rules)
    begun = False
    async with aclosing(deltas):
        async for delta in deltas:
            result = state.push(delta.text)
            text, reason = result.emit, delta.finish_reason
            if result.finished:
                reason = "stop"
            elif reason is not None:
                text += state.flush()
            text = text if begun else text.lstrip()
            begun = begun or bool(text)
            yield replace(delta, text=text, finish_reason=reason)
            if reason is not None:
                return
