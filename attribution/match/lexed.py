"""The tokens of candidates; the latest are kept, because successive queries mostly meet the same files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from attribution.store.contract import Content
from attribution.tokens.lexer import Tokens, lex_batch, split_batch

# Texts are lexed together up to this size: calls are saved, and the memory of the last ones is used again.
TOGETHER_BYTES = 64 << 10


class Lexed:
    """Tokens by content, at most `max_tokens` of them (25 bytes each); 0 keeps none.

    Safe to use from several threads.
    """

    def __init__(self, max_tokens: int = 0) -> None:
        self._max_tokens = max_tokens
        self._lock = threading.Lock()
        self._tokens: OrderedDict[bytes, Tokens] = OrderedDict()
        self._count = 0

    @property
    def kept_tokens(self) -> int:
        """How many tokens are kept."""
        return self._count

    def of(self, contents: Iterable[Content]) -> Iterator[tuple[Content, Tokens]]:
        """Contents with their tokens; small ones are lexed together, large ones each by itself."""
        new = []
        for content in contents:
            if (tokens := self._kept(content)) is None:
                new.append(content)
            else:
                yield content, tokens
        for group in _together(new):
            texts = [content.text for content in group]
            for content, tokens in zip(group, split_batch(lex_batch(texts), texts), strict=True):
                self._keep(content, tokens)
                yield content, tokens

    def _kept(self, content: Content) -> Tokens | None:
        with self._lock:
            if content.key in self._tokens:
                self._tokens.move_to_end(content.key)
            return self._tokens.get(content.key)

    def _keep(self, content: Content, tokens: Tokens) -> None:
        if len(tokens) > self._max_tokens:
            return
        with self._lock:
            if content.key not in self._tokens:
                self._tokens[content.key] = tokens
                self._count += len(tokens)
            while self._count > self._max_tokens:
                self._count -= len(self._tokens.popitem(last=False)[1])


def _together(contents: Iterable[Content]) -> Iterator[list[Content]]:
    group: list[Content] = []
    size = 0
    for content in contents:
        if group and size + len(content.text) > TOGETHER_BYTES:
            yield group
            group, size = [], 0
        group.append(content)
        size += len(content.text)
    if group:
        yield group
