"""The prompt of a fill-in-the-middle request: what of the texts goes in, and where.

In SPM order (the default) it is

    <filename>path\\ntext<|endoftext|> ...  <fim_prefix><fim_suffix>SUFFIX<fim_middle>PREFIX

so that typing only appends and the KV cache of all the rest survives. For the same reason the
window moves seldom and in big steps. Everything is a function of the arguments alone: no state.

In PSM order the middle begins where the cursor's line does, as llama.vim has it:

    ...  <fim_prefix>PREFIX<fim_suffix>SUFFIX<fim_middle>LINE

so that typing on a line only appends, too. Models were trained on texts cut in three anywhere, so that
this is one of their prompts.

Where a model was trained on repositories written file after file (`FimFormat.file_id`), context comes in that
form:

    <|repo_name|>NAME\\n<|file_sep|>path\\ntext\\n ...  <|file_sep|>path\\n<|fim_prefix|> ...

Without context there are no names: with a path alone, Qwen2.5-Coder 0.5B got 46 of 120 of HumanEval's single
lines right, with a repository's name too 41, with neither 51.

Otherwise, where the file's name goes: in training a document is `<filename>F\\ncode<|endoftext|>` and is cut
in three anywhere, so its tag nearly always begins the prefix part (arXiv 2305.06161, §5.1); hence
the tag begins PREFIX here. It stays there when the window has left the file's start: a model that
knows the name knows the language, and the window's first line follows it as the first line of a
file would.

How the room is shared, in tokens: in PSM order an eighth is the line's; of the rest the prefix is promised
a half, the suffix and the context a quarter each; what one of them does not need goes to the prefix,
then to the suffix, then to the context. The prefix's need is rounded up to quarters of the room, so that
the others change at most four times while a file grows.
Knows nothing about the model but its `FimFormat`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from model.errors import ContextLengthError, RequestError
from model.prompt.fim_format import FimFormat, FimOrder
from model.prompt.tokenizer import Tokenizer

MIN_PROMPT_TOKENS = 32
# Code has three to four characters a token; beyond eight nothing can fit, so it is not encoded.
_CHARS_PER_TOKEN = 8
_MAX_PATH_CHARS = 120
_LINE_SHARE = 8
# A file of which less than this would remain is left out.
_MIN_CONTEXT_TOKENS = 24
# Longer words (or none-spaced scripts) would cost a decoding step for each token taken back.
_MAX_HEALED_BYTES = 48


@dataclass(frozen=True, kw_only=True)
class ContextFile:
    """Another file, or a part of one, that goes before the prompt."""

    path: str
    text: str


@dataclass(frozen=True, kw_only=True)
class FimPrompt:
    """Token ids for the model, and the bytes the output must begin with (and loses again)."""

    token_ids: list[int]
    healed: bytes = b""
    suffix: range | None = None
    """The suffix's place in a prompt where the prefix comes before it, its sentinel included."""


def build_prompt(
    tokenizer: Tokenizer,
    fim: FimFormat,
    *,
    prefix: str,
    suffix: str,
    context: Sequence[ContextFile] = (),
    order: FimOrder,
    max_prompt_tokens: int,
    path: str | None = None,
    repository: str | None = None,
    heal: bool = True,
) -> FimPrompt:
    """Put a prompt of at most `max_prompt_tokens` tokens together.

    `context` is in the order of the prompt: the first file is the farthest from the cursor and the
    first to be left out. `path` is the name of the file that is edited, `repository` of what it belongs
    to. With `heal`, the last partial word is left to the model to write again (see
    `model.prompt.healing`). Raises `ContextLengthError` if there is no room for a prompt at all,
    `RequestError` for an order that the model was not trained on.
    """
    _check(fim, order, max_prompt_tokens)
    most = max_prompt_tokens // 8
    tag = _tag(tokenizer, fim.filename_id, path)[:most]
    first = tokenizer.first_ids
    repository_name = _heading(tokenizer, fim.repository_id, repository, most) if context else []
    own_name = _heading(tokenizer, fim.file_id, path, most) if context else []
    n_around = len(first) + len(repository_name) + len(own_name) + len(tag) + 3  # three FIM tokens
    room = max_prompt_tokens - n_around
    cursor = _cursor(tokenizer, prefix, order, room, heal=heal)
    room -= cursor.line_room
    before = _window_chunks(tokenizer, cursor.before, room, tagged=bool(tag))
    after = _following_chunks(tokenizer, suffix, room)
    files = [_file(tokenizer, fim, one, room) for one in _near(context, room)]
    context_need = sum(_size(file) + 1 for file in files)
    shares = _share(room, prefix=_need(before, room), suffix=_size(after), context=context_need)
    suffix_ids = _first_lines(after, shares.suffix)
    context_ids = _nearest_files(tokenizer, fim, files, shares.context)
    prefix_ids = _last_lines(before, room - len(suffix_ids) - len(context_ids), room)
    body = fim.arrange(order, [*tag, *prefix_ids], suffix_ids)
    named = [*repository_name, *context_ids, *own_name] if context_ids else []
    end = len(first) + len(named) + len(body) - 1  # where the middle's sentinel stands, in PSM order
    return FimPrompt(
        token_ids=[*first, *named, *body, *cursor.line],
        healed=cursor.healed.encode(errors="replace"),
        suffix=range(end - 1 - len(suffix_ids), end) if order is FimOrder.PSM else None,
    )


def _check(fim: FimFormat, order: FimOrder, max_prompt_tokens: int) -> None:
    if order not in fim.orders:
        known = " or ".join(fim.orders)
        raise RequestError(f"fim_order = {order.value!r}: this model knows {known}", field="fim_order")
    if max_prompt_tokens < MIN_PROMPT_TOKENS:
        raise ContextLengthError(
            f"{max_prompt_tokens} tokens are too few for a fill-in-the-middle prompt: at least "
            f"{MIN_PROMPT_TOKENS} are needed. Ask for fewer new tokens.",
            field="max_tokens",
        )


@dataclass(frozen=True)
class _Cursor:
    """The text before the cursor as the prompt has it."""

    before: str
    """The prefix."""
    line: list[int]
    """What the middle begins with."""
    line_room: int
    """Tokens that are kept for it."""
    healed: str


def _cursor(tokenizer: Tokenizer, prefix: str, order: FimOrder, room: int, *, heal: bool) -> _Cursor:
    """Divide the text before the cursor. A line that is too long is in the prefix whole."""
    if order is FimOrder.PSM:
        start, line_room = prefix.rfind("\n") + 1, room // _LINE_SHARE
        if len(prefix) - start <= line_room * tokenizer.longest_token_bytes:  # else it cannot fit
            line, healed = _healed(tokenizer, prefix[start:], heal=heal)
            ids = tokenizer.encode(line)
            if len(ids) <= line_room:
                return _Cursor(prefix[:start], ids, line_room, healed)
    before, healed = _healed(tokenizer, prefix, heal=heal)
    if not before and (healed or order is FimOrder.SPM):
        healed = tokenizer.opening + healed
    return _Cursor(before, [], 0, healed)


def _healed(tokenizer: Tokenizer, text: str, *, heal: bool) -> tuple[str, str]:
    return split_healed(tokenizer, text) if heal else (text, "")


def split_healed(tokenizer: Tokenizer, prefix: str) -> tuple[str, str]:
    """Cut off the end of `prefix` that a tokenizer may join with what comes next: its last word.

    Of white space that is too long for it, the last character: in `\\n    return` the last of the spaces
    belongs to the word's token.
    """
    word = tokenizer.last_word(prefix)
    if len(word.encode(errors="replace")) > _MAX_HEALED_BYTES:
        word = word[-1] if word.isspace() else ""
    return prefix[: len(prefix) - len(word)], word


PromptChunks = Sequence[Sequence[int]]  # token ids by lines; all but the first begin with a line end


@dataclass(frozen=True)
class _Shares:
    """The room in tokens of the parts that are cut first; the prefix has what they leave."""

    suffix: int
    context: int


def _share(room: int, *, prefix: int, suffix: int, context: int) -> _Shares:
    """Divide the room by what each part needs, as the module's docstring says."""
    needs = (prefix, suffix, context)
    given = [min(need, part) for need, part in zip(needs, (room // 2, room // 4, room // 4), strict=True)]
    for i, need in enumerate(needs):
        given[i] += max(0, min(room - sum(given), need - given[i]))
    return _Shares(suffix=given[1], context=given[2])


def _tag(tokenizer: Tokenizer, token_id: int | None, name: str | None) -> list[int]:
    """A token and a name, without a line end: what follows brings one. Nothing if there is no such token."""
    if not name or token_id is None:
        return []
    return [token_id, *tokenizer.encode(_one_line(name))]


def _heading(tokenizer: Tokenizer, token_id: int | None, name: str | None, most: int) -> list[int]:
    """The same with its line end, in at most so many tokens."""
    tag = _tag(tokenizer, token_id, name)[: most - 1]
    return [*tag, *tokenizer.encode("\n")] if tag else []


def _one_line(path: str) -> str:
    """The end of a path, which is the part that tells most, without line ends."""
    return " ".join(path.split())[-_MAX_PATH_CHARS:]


def _window_chunks(tokenizer: Tokenizer, prefix: str, room: int, *, tagged: bool) -> PromptChunks:
    """The end of the prefix, a little more than can be needed, by lines.

    Where it begins moves by a grid of characters that depends on the prefix's length alone.
    """
    grid = _CHARS_PER_TOKEN * room
    start = max(0, len(prefix) // grid - 1) * grid
    if start:
        line_end = prefix.find("\n", start, start + grid // 2)
        start = line_end if line_end >= 0 else start
    # The line end after the file's name; a window within the file begins with one of its own.
    lead = "\n" if tagged and prefix[start : start + 1] not in ("\n", "\r") else ""
    return tokenizer.encode_chunks(tokenizer.opened(lead + prefix[start:]))


def _following_chunks(tokenizer: Tokenizer, suffix: str, room: int) -> PromptChunks:
    """The beginning of the suffix, by lines."""
    return tokenizer.encode_chunks(_beginning(suffix, room))


def _file(tokenizer: Tokenizer, fim: FimFormat, one: ContextFile, room: int) -> PromptChunks:
    """A context file by lines, its tag first; what ends a file comes when it is cut."""
    text = _beginning(one.text, room)
    tag = _tag(tokenizer, fim.filename_id if fim.file_id is None else fim.file_id, one.path)
    return (
        [tag, *tokenizer.encode_chunks("\n" + text)]
        if tag
        else tokenizer.encode_chunks(tokenizer.opened(text))
    )


def _near(context: Sequence[ContextFile], room: int) -> Sequence[ContextFile]:
    """The last files, nearest to the cursor, without those that more than fill the room behind them."""
    n_chars = 0
    for number in range(len(context) - 1, -1, -1):
        if n_chars > _CHARS_PER_TOKEN * room:
            return context[number + 1 :]
        n_chars += len(context[number].text)
    return context


def _beginning(text: str, room: int) -> str:
    limit = _CHARS_PER_TOKEN * room
    if len(text) <= limit:
        return text
    line_end = text.rfind("\n", 0, limit)
    return text[: line_end if line_end > 0 else limit]


def _need(chunks: PromptChunks, room: int) -> int:
    """Tokens that the prefix is counted as: rounded up to quarters of the room."""
    quarter = max(1, room // 4)
    return -(-_steady_size(chunks, room) // quarter) * quarter


def _steady_size(chunks: PromptChunks, room: int) -> int:
    """Tokens in `chunks`, the line being typed rounded up.

    Typing can make a line shorter in tokens (two of them merge): without the rounding, the window
    would move forth and back.
    """
    step = max(1, room // 64)
    return _size(chunks[:-1]) + (len(chunks[-1]) // step + 1) * step


def _last_lines(chunks: PromptChunks, budget: int, room: int) -> list[int]:
    """The last tokens that fit, from a line's start that moves by quarters of the budget."""
    excess = _steady_size(chunks, room) - budget
    ids = list(chain.from_iterable(chunks))
    if excess <= 0:
        return ids
    quarter = max(1, budget // 4)
    start = -(-excess // quarter) * quarter
    at = 0
    for chunk in chunks:
        if at >= start:
            # A window that begins within a line is better than one that lost half of its length.
            start = at if at - start <= quarter else start
            break
        at += len(chunk)
    return ids[start:][-budget:]


def _first_lines(chunks: PromptChunks, budget: int) -> list[int]:
    """Whole lines from the start as long as they fit, or as much of the first line as fits."""
    ids: list[int] = []
    for chunk in chunks:
        if len(ids) + len(chunk) > budget:
            break
        ids += chunk
    return ids or list(chunks[0][:budget])


def _nearest_files(
    tokenizer: Tokenizer, fim: FimFormat, files: Sequence[PromptChunks], budget: int
) -> list[int]:
    """The files nearest to the cursor that fit; the first that does not is cut at a line, if worthwhile."""
    ids: list[int] = []
    for file in reversed(files):
        left = budget - len(ids)
        whole = _size(file) + 1 <= left
        if not whole and left < _MIN_CONTEXT_TOKENS:
            break
        ids = [*_ended(tokenizer, fim, _first_lines(file, left - 1)), *ids]
        if not whole:
            break
    return ids


def _ended(tokenizer: Tokenizer, fim: FimFormat, ids: list[int]) -> list[int]:
    """A context file with what ends it: a token, or a line end that it may have."""
    if fim.file_id is None:
        return [*ids, fim.end_of_text_id]
    return ids if tokenizer.token_bytes(ids[-1]).endswith(b"\n") else [*ids, *tokenizer.encode("\n")]


def _size(chunks: PromptChunks) -> int:
    return sum(map(len, chunks))
