"""From a checked chat to work for the engine: the prompt that fits, and where the answer ends.

Through one door come instruct-tuned models, which have a chat template, and base models, which get
the technical assistant's dialogue. Either way the oldest turns go first when room is short. Runs on
the engine's side, in the tokenizer's thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.errors import ContextLengthError
from model.prompt.conversation import Message, Messages, fitted
from model.prompt.dialogue import N_EXAMPLES, dialogue, mentions_marks
from model.stopping.stopping import StopAt, StopRules

if TYPE_CHECKING:
    from model.prompt.chat_template import ChatTemplate
    from model.prompt.tokenizer import Tokenizer
    from model.serve.chat_protocol import ChatBody

# For an answer whose length is not asked for: enough to explain a function and to show it.
DEFAULT_MAX_TOKENS = 512
# The part of the context that the examples of a base model's prompt may take.
_EXAMPLES_SHARE = 0.25


class ChatPrompter:
    """Writes conversations for one model. `template` None: it is a base model. `end_id` is the token that
    ends a text."""

    def __init__(
        self, tokenizer: Tokenizer, n_positions: int, template: ChatTemplate | None, *, end_id: int
    ) -> None:
        self._tokenizer = tokenizer
        self._n_positions = n_positions
        self._template = template
        self._end_id = end_id
        self._n_examples = 0 if template else self._examples_that_fit()

    def max_tokens(self, body: ChatBody) -> int:
        """How long the answer may be. Raises `ContextLengthError` if that leaves no room for a prompt."""
        if body.limit is None:
            return max(1, min(DEFAULT_MAX_TOKENS, self._n_positions // 4))
        if body.limit >= self._n_positions:
            name = "max_tokens" if body.max_tokens is not None else "max_completion_tokens"
            raise ContextLengthError(
                f"{name} = {body.limit} leaves no room for a prompt in this model's "
                f"{self._n_positions} positions: ask for fewer",
                field=name,
            )
        return body.limit

    def prompt_ids(self, body: ChatBody) -> list[int]:
        """The prompt: at most as many tokens as the answer leaves room for.

        Raises `ContextLengthError` if the last message alone is too long, and `RequestError` for a
        conversation that makes no sense.
        """
        room = self._n_positions - self.max_tokens(body)
        kept = fitted(body.conversation, lambda messages: self._n_tokens(messages, room) <= room)
        if kept is None:
            last = self._n_tokens((*_instructions(body.conversation), body.conversation[-1]), room)
            raise ContextLengthError(
                f"messages: the last one takes {last} tokens or more with what must go before it, and "
                f"{room} of this model's {self._n_positions} are left beside the answer: send less",
                field="messages",
            )
        return self.encode(kept)

    def _n_tokens(self, messages: Messages, room: int) -> int:
        """The tokens of a prompt; only at least how many where its length alone says that it cannot fit."""
        least = sum(len(message.text) for message in messages) // self._tokenizer.longest_token_bytes
        return least if least > room else len(self.encode(messages))

    def stop_rules(self, body: ChatBody) -> StopRules:
        """Where the answer ends, beside the model's own end of text."""
        if self._template is not None:
            return StopRules(stop=body.stop)
        return StopRules(
            stop=body.stop, stop_at=StopAt.TURN, code_is_quoted=mentions_marks(body.conversation)
        )

    def encode(self, messages: Messages) -> list[int]:
        """Token ids of a whole conversation, ready for the answer."""
        encode = self._tokenizer.encode
        if self._template is None:
            return self._tokenizer.encode_whole(dialogue(messages, n_examples=self._n_examples))
        special = self._tokenizer.special_ids
        ids: list[int] = []
        for piece in self._template.render(messages, special.keys()):
            ids += [special[piece.text]] if piece.is_special else encode(self._opened(piece.text))
        return ids or [self._end_id]

    def _opened(self, text: str) -> str:
        """A text after a special token, where the model was trained to find one space."""
        return text if text.startswith(" ") else self._tokenizer.opened(text)

    def _examples_that_fit(self) -> int:
        ask = [Message(role="user", text="?")]
        for n_examples in range(N_EXAMPLES, 0, -1):
            n_tokens = len(self._tokenizer.encode(dialogue(ask, n_examples=n_examples)))
            if n_tokens <= _EXAMPLES_SHARE * self._n_positions:
                return n_examples
        return 0


def _instructions(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message.role == "system"]
