"""The user's message for each kind of question: the task, the code, and its surroundings.

`lsp.assistant.subject` chooses the lines. The engine puts a conversation to its model, by
`model.prompt.dialogue` or the model's chat template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lsp.assistant.subject import Subject
from model.fences import fenced

# The code's surroundings get at most this part of the room that the code leaves, and so much: a small model
# takes a long text for what it is to write out or explain, and on two cores it waits seconds for it.
_AROUND_SHARE = 0.5
_MIN_AROUND_CHARS, _MAX_AROUND_CHARS = 200, 3_000
_MAX_DIAGNOSTICS = 5
_MAX_DIAGNOSTIC_CHARS = 500


SYSTEM = (
    "You are a technical assistant for programmers. Answer in a few plain sentences. Put code into Markdown "
    "blocks, complete and ready to use. Change only what you are asked to change, and say so when you do not "
    "know something."
)
"""For models that were trained for conversations; a base model is shown some (`model.prompt.dialogue`)."""


class QuestionKind(StrEnum):
    """What is wanted."""

    ASK = "ask"
    EXPLAIN = "explain"
    DOCUMENT = "document"
    FIX = "fix"
    TEST = "test"
    EDIT = "edit"

    @property
    def edits(self) -> bool:
        """Whether the answer is to become an edit."""
        return self in (QuestionKind.DOCUMENT, QuestionKind.FIX, QuestionKind.EDIT)

    @property
    def needs_code(self) -> bool:
        """Whether the question means nothing without code."""
        return self is not QuestionKind.ASK


_TASKS = {
    QuestionKind.EXPLAIN: "What does this code do?",
    QuestionKind.DOCUMENT: "Add {documentation} to this code. Write it out whole, otherwise unchanged.",
    QuestionKind.FIX: "Fix this code. Write it out whole, otherwise unchanged.",
    QuestionKind.TEST: "Write a test for this code.",
}

# What it is called there; asked for by its name, small models write it, and leave the code as it is.
_DOCUMENTATION = {"python": "a docstring"}
_ANY_DOCUMENTATION = "a documentation comment"


@dataclass(frozen=True, kw_only=True)
class CodeProblem:
    """A diagnostic: its message, where it comes from, and the line (from 0) that it is on."""

    message: str
    source: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Said:
    """A question in words. `kept` is what stays in the conversation: the code without its surroundings."""

    text: str
    kept: str
    is_cut: bool


def put(
    kind: QuestionKind,
    question: str,
    subject: Subject | None,
    problems: Sequence[CodeProblem],
    *,
    max_chars: int,
) -> Said:
    """The user's message, at most about `max_chars` long. `is_cut`: not all of the code had room."""
    task = _task(kind, question, subject, problems)
    if subject is None:
        return Said(text=task, kept=task, is_cut=False)
    room = max_chars - len(task)
    lines, is_cut = _first_lines(subject.code_lines, room)
    block = fenced("\n".join(lines), subject.language)
    where = f"`{subject.path}`, lines {subject.first + 1} to {subject.first + len(lines)}:"
    kept = f"{task}\n\n{where}\n\n{block}"
    # What surrounds code has no say in its documentation, and small models test it, too, without an end.
    is_alone = is_cut or kind in (QuestionKind.DOCUMENT, QuestionKind.TEST)
    room = min(int((max_chars - len(kept)) * _AROUND_SHARE), _MAX_AROUND_CHARS)
    around = "" if is_alone else _around(subject, room)
    return Said(text=around + kept, kept=kept, is_cut=is_cut)


def _task(kind: QuestionKind, question: str, subject: Subject | None, problems: Sequence[CodeProblem]) -> str:
    language = "" if subject is None else subject.language
    documentation = _DOCUMENTATION.get(language, _ANY_DOCUMENTATION)
    parts = [_TASKS[kind].format(documentation=documentation)] if kind in _TASKS else []
    if problems:
        parts.insert(0, "\n".join(_problem(each, subject) for each in problems[:_MAX_DIAGNOSTICS]))
    if question.strip():
        parts.append(question.strip())
    if kind is QuestionKind.EDIT:
        parts.append("Write out the changed code whole.")
    return "\n\n".join(parts)


def _problem(problem: CodeProblem, subject: Subject | None) -> str:
    message = " ".join(problem.message.split())[:_MAX_DIAGNOSTIC_CHARS]
    source = f"{problem.source}: " if problem.source else ""
    told = f"{source}{message}"
    if subject is None or not 0 <= problem.line < len(subject.lines):
        return told
    line = subject.lines[problem.line].strip().replace("`", "'")
    return f"{told}\nin line {problem.line + 1}: `{line}`" if line else told


def _first_lines(lines: Sequence[str], room: int) -> tuple[list[str], bool]:
    """As many lines as have room, at least one, and whether any was cut."""
    kept: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if kept and room < 0:
            return kept, True
        kept.append(line[: max(room + len(line) + 1, 1)])
    return kept, any(len(a) < len(b) for a, b in zip(kept, lines, strict=False))


def _around(subject: Subject, max_chars: int) -> str:
    if max_chars < _MIN_AROUND_CHARS:
        return ""
    first, last = subject.around(max_chars)
    if (first, last) == (subject.first, subject.last):
        return ""
    block = fenced("\n".join(subject.lines[first:last]), subject.language)
    return f"This is in `{subject.path}`:\n\n{block}\n\n"
