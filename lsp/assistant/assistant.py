"""The technical assistant of one editor window: questions about code, answered in conversations.

question → code and its surroundings → engine, streamed → check of the answer's code → change. Keeps the
conversations. Knows neither the editor's protocol nor how a conversation is put to a model.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsp.assistant.conversations import Conversations
from lsp.assistant.edit import Change, change_of
from lsp.assistant.prompt import SYSTEM, CodeProblem, QuestionKind, Said, put
from lsp.assistant.subject import Subject
from lsp.documents.place import well_formed
from lsp.postprocess.repetition import is_looping
from lsp.sources.answer_check import AnswerFilter, CheckedAnswer
from model.errors import ContextLengthError, RequestError
from model.prompt.conversation import Message

if TYPE_CHECKING:
    from lsp.link.engine_link import EngineLink
    from lsp.sources.references import Reference
    from lsp.status.status import StatusBoard
    from model.client.chat import ChatQuery
    from model.client.client import EngineHealth

# The longest answer, and the part of a small model's context that it may take.
MAX_ANSWER_TOKENS = 1024
_ANSWER_SHARE = 0.25
# The part of the context that the question may take; the answer and a base model's first turns need room
# too. A token of code has about three characters; where it has fewer, the engine refuses the question.
_QUESTION_SHARE = 0.5
_CHARS_PER_TOKEN = 3
MAX_QUESTION_CHARS = 24_000
_MIN_QUESTION_CHARS = 160
# Above 0: a small model that always takes the likeliest token repeats itself for ever.
_TEMPERATURE, _TOP_P = 0.2, 0.95
REPETITION = "repetition"
LOOPED = "the model began to repeat itself and was stopped"
BASE_MODEL = "a base model, which was not trained for conversations: check its answers"


def caution_of(health: EngineHealth) -> str | None:
    """What the user should know of the model that answers, or None."""
    return BASE_MODEL if health.chat == "dialogue" else None


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the user wants to know. `subject` is the code in question, if any."""

    kind: QuestionKind
    text: str = ""
    subject: Subject | None = None
    problems: Sequence[CodeProblem] = ()
    conversation: str | None = None
    note: str | None = None
    """What the user should know of the question, for example that a file was left out."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The whole answer.

    `finish_reason` is the engine's ("stop", "length") or `REPETITION`. `note` is for the user, for example
    why there is no change.
    """

    conversation: str
    model: str
    text: str
    finish_reason: str
    change: Change | None = None
    note: str | None = None
    references: Sequence[Reference] = ()


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """The next piece of an answer, and the question as it was put."""

    said: Said
    text: str
    finish_reason: str


class Assistant:
    """Answers questions. `check` looks up the answers' code."""

    def __init__(
        self,
        *,
        link: EngineLink,
        board: StatusBoard,
        check: AnswerFilter | None,
        context_tokens: Callable[[], int],
        is_base_model: Callable[[], bool],
    ) -> None:
        self.conversations = Conversations()
        self._check = check
        self._link = link
        self._board = board
        self._context_tokens = context_tokens
        self._is_base_model = is_base_model

    async def answer(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Stream the answer's pieces, then the whole. Closing the generator cancels the engine's work.

        Where text may be shown only after the check, there is one piece. After a cancellation, the text so
        far stays part of the conversation. Raises `ModelError`.
        """
        conversation, earlier = self.conversations.open(question.conversation)
        is_strict = self._check is not None and self._check.is_strict
        last: _Piece | None = None
        text, has_looped = "", False
        try:
            with self._board.busy():
                async with aclosing(self._asked(question, earlier)) as pieces:
                    async for last in pieces:
                        text += last.text
                        if last.text and not is_strict:
                            yield last.text
                        if has_looped := is_looping(text):
                            break
        finally:
            if last is not None and text and not is_strict:
                self.conversations.add(conversation, last.said.kept, text)
        assert last is not None
        self._board.proven()
        checked = await self._checked(text)
        if is_strict:
            self.conversations.add(conversation, last.said.kept, checked.text)
            yield checked.text
        reason = REPETITION if has_looped else last.finish_reason
        yield self._finished(question, conversation, checked, reason)

    async def _asked(self, question: Question, earlier: Sequence[Message]) -> AsyncGenerator[_Piece, None]:
        """The answer's pieces. A question that is too long is put again, with less around the code."""
        await self._link.client()  # from here on, the model and its context's length are known
        system = () if self._is_base_model() else (Message(role="system", text=SYSTEM),)
        context_tokens = self._context_tokens()
        max_chars = min(MAX_QUESTION_CHARS, int(context_tokens * _QUESTION_SHARE * _CHARS_PER_TOKEN))
        while True:
            said = _put(question, max_chars)
            messages = (*system, *earlier, Message(role="user", text=said.text))
            try:
                async with aclosing(self._link.chat(_query(messages, context_tokens))) as deltas:
                    async for delta in deltas:
                        yield _Piece(said=said, text=delta.text, finish_reason=delta.finish_reason or "")
                return
            except ContextLengthError:
                max_chars //= 2
                if max_chars < _MIN_QUESTION_CHARS:
                    raise

    async def _checked(self, text: str) -> CheckedAnswer:
        return CheckedAnswer(text=text) if self._check is None else await self._check.check(text)

    def _finished(self, question: Question, conversation: str, checked: CheckedAnswer, reason: str) -> Answer:
        change, note = None, question.note
        if not checked.text.strip():
            note = "the model had nothing to say"
        elif checked.withheld is not None:
            note = checked.withheld
        elif reason == REPETITION:
            note = LOOPED
        elif question.kind.edits and question.subject is not None:
            outcome = change_of(checked.text, question.kind, question.subject, is_complete=reason == "stop")
            change, note = (outcome, note) if isinstance(outcome, Change) else (None, outcome)
        return Answer(
            conversation=conversation,
            model=self._board.current.model,
            text=checked.text,
            finish_reason=reason,
            change=change,
            note=note,
            references=checked.references,
        )


def _query(messages: tuple[Message, ...], context_tokens: int) -> ChatQuery:
    from model.client.chat import ChatQuery

    return ChatQuery(
        messages=messages,
        max_tokens=max(1, min(MAX_ANSWER_TOKENS, int(context_tokens * _ANSWER_SHARE))),
        temperature=_TEMPERATURE,
        top_p=_TOP_P,
    )


def _put(question: Question, max_chars: int) -> Said:
    said = put(
        question.kind, well_formed(question.text), question.subject, question.problems, max_chars=max_chars
    )
    if said.is_cut and question.kind.edits:
        raise RequestError("the code is too long for this model's context to be written anew: select less")
    return said
