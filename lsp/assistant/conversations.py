"""The conversations of one editor window, in bounded memory, while the window lives."""

from __future__ import annotations

import uuid
from collections import OrderedDict

from model.prompt.conversation import Message, Messages

MAX_CONVERSATIONS = 20
MAX_MESSAGES = 80
MAX_CHARS = 200_000


class Conversations:
    """Conversations by id. Beyond `MAX_CONVERSATIONS` the least recently used is dropped."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Messages] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def open(self, conversation: str | None) -> tuple[str, Messages]:
        """The id and the messages so far; for an unknown id, a new conversation."""
        if conversation is not None and conversation in self._kept:
            self._kept.move_to_end(conversation)
            return conversation, self._kept[conversation]
        return str(uuid.uuid4()), ()

    def add(self, conversation: str, question: str, answer: str) -> None:
        """A turn has ended."""
        turn = (Message(role="user", text=question), Message(role="assistant", text=answer))
        messages = (*self._kept.pop(conversation, ()), *turn)
        while len(messages) > MAX_MESSAGES or (len(messages) > 2 and _n_chars(messages) > MAX_CHARS):
            messages = messages[2:]
        self._kept[conversation] = messages
        if len(self._kept) > MAX_CONVERSATIONS:
            self._kept.popitem(last=False)

    def forget(self, conversation: str | None = None) -> None:
        """Forget one conversation, or all of them."""
        if conversation is None:
            self._kept.clear()
        else:
            self._kept.pop(conversation, None)


def _n_chars(messages: Messages) -> int:
    return sum(len(message.text) for message in messages)
