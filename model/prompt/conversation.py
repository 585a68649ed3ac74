"""A conversation with a model: who said what, and which of it is left out where room is short.

Knows neither tokens nor how a conversation is written down for a model: `model.prompt.dialogue` and
`model.prompt.chat_template` do that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from model.errors import RequestError

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one side said."""

    role: Role
    text: str


Messages = tuple[Message, ...]


@dataclass(frozen=True)
class _Parts:
    """A conversation as the instructions before it, and turns that each begin with the user's message."""

    head: Messages
    turns: tuple[Messages, ...]

    def without(self, n_turns: int) -> Messages:
        """What is left without the oldest turns."""
        return (*self.head, *(message for turn in self.turns[n_turns:] for message in turn))


def fitted(messages: Sequence[Message], fits: Callable[[Messages], bool]) -> Messages | None:
    """The conversation without as many of its oldest turns as it takes until it fits; None if it never does.

    A turn is a message of the user's with what was answered to it. The instructions (system messages)
    at the beginning and the last turn stay. `fits` may be asked about once for each doubling of the
    turns: what fits must fit with fewer turns too. Raises `RequestError` unless the user speaks last.
    """
    parts = _parts(messages)
    if fits(parts.without(0)):
        return parts.without(0)
    most = len(parts.turns) - 1
    if not fits(parts.without(most)):
        return None
    too_few, enough = 0, most
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if fits(parts.without(middle)):
            enough = middle
        else:
            too_few = middle
    return parts.without(enough)


def n_turns(messages: Sequence[Message]) -> int:
    """How many turns a conversation has."""
    return len(_parts(messages).turns)


def without_oldest(messages: Sequence[Message], n_turns: int) -> Messages:
    """The conversation without its `n_turns` oldest turns; the last one always stays."""
    parts = _parts(messages)
    return parts.without(min(n_turns, len(parts.turns) - 1))


def _parts(messages: Sequence[Message]) -> _Parts:
    if not messages or messages[-1].role != "user":
        raise RequestError("messages: the last one must be the user's", field="messages")
    n_head = next(i for i, message in enumerate(messages) if message.role != "system")
    turns: list[list[Message]] = [[]]
    for message in messages[n_head:]:
        if message.role == "user" and any(each.role == "user" for each in turns[-1]):
            turns.append([])
        turns[-1].append(message)
    return _Parts(tuple(messages[:n_head]), tuple(map(tuple, turns)))
