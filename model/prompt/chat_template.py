"""The chat template of an instruct-tuned model: a conversation as its own training wrote it.

Templates are Jinja, from a model's folder, and run as transformers runs them, in a process of their own. What
users say never becomes a special token: before rendering, each name of one in their text is broken
up by a code point that occurs nowhere in the conversation, and afterwards that code point is taken
out again. Knows nothing about windows or budgets.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import RequestError, TokenizerError
from model.gguf.metadata import Metadata
from model.prompt.conversation import Message
from model.prompt.rendering import Renderer, environment
from model.prompt.tokenizer_config import TOKENIZER_CONFIG_FILE

_DEFAULT = "default"
_MOST_CHARS = 1 << 20  # published ones have at most some ten thousand
# Unicode's noncharacters "for internal use": in no text that is exchanged (Unicode 16, §23.7).
_BREAKERS = tuple(map(chr, range(0xFDD0, 0xFDF0)))


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a rendered conversation: ordinary text, or the name of one special token."""

    text: str
    is_special: bool


class ChatTemplate:
    """One template. `names` are those of the special tokens that it may set (`bos_token` …)."""

    def __init__(self, source: str, *, names: Mapping[str, str], where: str = "chat_template") -> None:
        self._source = source
        self._names = names
        self._where = where
        self._renderer = Renderer(source)

    @classmethod
    def of_folder(cls, folder: Path, config: Mapping[str, Any]) -> ChatTemplate | None:
        """That of `chat_template.jinja`, or in `config`, the folder's tokenizer_config.json.

        None if it has none: a base model. Raises `TokenizerError` if they cannot be read.
        """
        path = folder / TOKENIZER_CONFIG_FILE
        file = folder / "chat_template.jinja"
        if file.is_file():
            path, source = file, file.read_text(encoding="utf-8")
        elif (given := _default_of(config.get("chat_template"), path)) is not None:
            source = given
        else:
            return None
        template = cls(source, names=_special_names(config), where=str(path))
        template.check()
        return template

    @classmethod
    def of_gguf(cls, metadata: Metadata) -> ChatTemplate | None:
        """That of a GGUF file, None if it has none."""
        source = metadata.text("tokenizer.chat_template")
        if source is None:
            return None
        names = {}
        for one in ("bos", "eos"):
            number = metadata.integer(f"tokenizer.ggml.{one}_token_id")
            name = None if number is None else metadata.text_at("tokenizer.ggml.tokens", number)
            if name is not None:
                names[f"{one}_token"] = name
        template = cls(source, names=names, where=metadata.where)
        template.check()
        return template

    def check(self) -> None:
        """Raise `TokenizerError` if the template is not valid Jinja.

        It is only parsed: compiling computes what is constant in it, and a constant may be anything.
        """
        import jinja2

        if len(self._source) > _MOST_CHARS:
            raise TokenizerError(f"{self._where}: the chat template has {len(self._source):,} characters")
        try:
            environment().parse(self._source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise TokenizerError(f"{self._where}: the chat template is not valid: {error}") from error

    def render(self, messages: Sequence[Message], special: Collection[str]) -> list[Piece]:
        """The conversation up to where the answer begins. `special` are the tokenizer's special tokens.

        Raises `RequestError` where the template refuses the conversation.
        """
        breaker = _unused(messages)
        said = [{"role": each.role, "content": _broken_up(each.text, special, breaker)} for each in messages]
        try:
            text = self._rendered(said)
        except RequestError:
            if [each.role for each in messages[:2]] != ["system", "user"]:
                raise
            text = self._rendered(_as_users(said))  # Gemma's, for one, knows no system
        return _pieces(text, special, breaker)

    def _rendered(self, messages: list[dict[str, str]]) -> str:
        values = {"tools": None, "documents": None, "add_generation_prompt": True, **self._names}
        return self._renderer.render({"messages": messages, **values})


def _as_users(said: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The conversation with what the system says before what the user says first."""
    system, user, *rest = said
    return [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *rest]


def _default_of(given: object, path: Path) -> str | None:
    """The template, of several the one named "default"."""
    if given is None or isinstance(given, str):
        return given
    named = (
        {item.get("name"): item.get("template") for item in given if isinstance(item, dict)}
        if isinstance(given, list)
        else {}
    )
    if isinstance(found := named.get(_DEFAULT), str):
        return found
    raise TokenizerError(f"{path}: chat_template has no template named {_DEFAULT!r}")


def _special_names(config: Mapping[str, Any]) -> dict[str, str]:
    """`bos_token` and the like, which stand as a text or as an object with details."""
    found = {}
    for key, value in config.items():
        text = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(text, str):
            found[key] = text
    return found


def _unused(messages: Sequence[Message]) -> str:
    for breaker in _BREAKERS:
        if not any(breaker in message.text for message in messages):
            return breaker
    raise RequestError("messages hold every noncharacter of Unicode: send text", field="messages")


def _alternatives(special: Collection[str]) -> re.Pattern[str]:
    """Any of the names, the longest first; matches nothing if there are none."""
    names = sorted(filter(None, special), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names)) or r"(?!)")


def _broken_up(text: str, special: Collection[str], breaker: str) -> str:
    """The text with `breaker` in each name of a special token, and in one that is begun at its end."""
    text = _alternatives(special).sub(lambda match: match[0][0] + breaker + match[0][1:], text)
    shown = text.rstrip()  # templates often trim
    begun = max(
        (size for name in special for size in range(1, len(name)) if shown.endswith(name[:size])), default=0
    )
    if not begun:
        return text
    at = len(shown) - begun + 1
    return text[:at] + breaker + text[at:]


def _pieces(rendered: str, special: Collection[str], breaker: str) -> list[Piece]:
    pieces: list[Piece] = []
    start = 0
    for match in _alternatives(special).finditer(rendered):
        pieces.append(Piece(text=rendered[start : match.start()].replace(breaker, ""), is_special=False))
        pieces.append(Piece(text=match[0], is_special=True))
        start = match.end()
    pieces.append(Piece(text=rendered[start:].replace(breaker, ""), is_special=False))
    return [piece for piece in pieces if piece.text]
