"""`starcoder/assist`: from the request's parameters to a question, and from the answer to the result.

`{token, kind, question?, textDocument?, range?, diagnostics?, conversation?}`; while it runs
`starcoder/assistDelta {token, text}`; then `{conversation, model, text, finishReason, edit, references,
note, caution}`. docs/lsp-messages.md says what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from lsp.assistant.assistant import Answer, Question
from lsp.assistant.edit import Change
from lsp.assistant.prompt import CodeProblem, QuestionKind
from lsp.assistant.subject import Subject, around_diagnostic, definition_at, selected
from lsp.documents.documents import Document, columns_of
from model.errors import ModelError

if TYPE_CHECKING:
    from lsp.server.window import Window

ASSIST = "starcoder/assist"
ASSIST_DELTA = "starcoder/assistDelta"
FORGET = "starcoder.forgetConversations"
MOVED_ON = "the document was changed meanwhile, so there is nothing to apply: ask again"
ANNOTATION = "starcoder.assist"
# A selection of at most so many lines shows where the fault is; it is not all the code to write anew.
_FEW_LINES = 3

Lines = tuple[int, int]


async def answer_assist(
    window: Window, params: Mapping[str, Any], on_text: Callable[[str], None]
) -> dict[str, Any]:
    """Answer one request; `on_text` gets each new piece. Cancelling the coroutine cancels the work.

    Raises a `JsonRpcException` that says why there is no answer.
    """
    question = question_of(window, params)
    try:
        async with aclosing(await window.ask(question)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Answer):
                    return to_wire(window, question, piece)
                on_text(piece)
    except ModelError as error:
        raise _failed(str(error)) from error
    raise AssertionError("an answer ends with the whole of it")


def question_of(window: Window, params: Mapping[str, Any]) -> Question:
    """The question that the parameters ask. Raises a `JsonRpcException` if they make none."""
    try:
        kind = QuestionKind(params.get("kind") or QuestionKind.ASK)
    except ValueError as error:
        raise JsonRpcInvalidParams(
            f"kind = {params.get('kind')!r}: known are {', '.join(QuestionKind)}"
        ) from error
    text = str(params.get("question") or "")
    if kind in (QuestionKind.ASK, QuestionKind.EDIT) and not text.strip():
        raise JsonRpcInvalidParams(f"a question is needed for kind {kind.value!r}")
    conversation = params.get("conversation")
    question = Question(
        kind=kind, text=text, conversation=None if conversation is None else str(conversation)
    )
    document, reason = _document(window, params)
    if document is None:
        if kind.needs_code:
            raise _failed(reason or f"a textDocument is needed for kind {kind.value!r}")
        return replace(question, note=reason)
    problems = [_problem(document, each) for each in params.get("diagnostics") or ()]
    try:
        first, last = _lines(document, kind, params.get("range"), problems)
    except (KeyError, TypeError, ValueError) as error:
        raise JsonRpcInvalidParams(f"range must be as in LSP ({error!r})") from error
    subject = Subject.of(document, first, last, path=window.parts.queries.shown_path(document.path))
    return replace(question, subject=subject, problems=problems)


def to_wire(window: Window, question: Question, answer: Answer) -> dict[str, Any]:
    """The result of the request."""
    edit, note = None, answer.note
    if answer.change is not None and question.subject is not None:
        document = window.documents.open_document(question.subject.uri)
        if document is None or document.version != question.subject.version:
            note = MOVED_ON
        else:
            edit = workspace_edit(answer.change, question.subject, document.encoding, window.facts.edits)
    return {
        "conversation": answer.conversation,
        "model": answer.model,
        "text": answer.text,
        "finishReason": answer.finish_reason,
        "edit": edit,
        "references": [reference.to_wire() for reference in answer.references],
        "note": note,
        "caution": window.parts.caution,
    }


def workspace_edit(
    change: Change, subject: Subject, encoding: str, able: types.WorkspaceEditClientCapabilities
) -> types.WorkspaceEdit:
    """The change as an edit of the subject's version, to be confirmed where the client can ask."""
    place, text = _placed(change, subject, encoding)
    label = f"StarCoder: {subject.path}"
    if not able.document_changes:
        return types.WorkspaceEdit(changes={subject.uri: [types.TextEdit(range=place, new_text=text)]})
    document = types.OptionalVersionedTextDocumentIdentifier(uri=subject.uri, version=subject.version)
    if able.change_annotation_support is None:
        edits = [types.TextEdit(range=place, new_text=text)]
        return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(document, edits)])
    annotated = types.AnnotatedTextEdit(range=place, new_text=text, annotation_id=ANNOTATION)
    return types.WorkspaceEdit(
        document_changes=[types.TextDocumentEdit(document, [annotated])],
        change_annotations={ANNOTATION: types.ChangeAnnotation(label=label, needs_confirmation=True)},
    )


def _placed(change: Change, subject: Subject, encoding: str) -> tuple[types.Range, str]:
    """Where the lines go, and their text with the document's own line ends."""
    text = subject.line_end.join(change.lines)
    if change.first == change.last < len(subject.lines):
        at = types.Position(change.first, 0)
        return types.Range(at, at), text + subject.line_end
    end_line = change.last - 1
    end = types.Position(end_line, columns_of(subject.lines[end_line], encoding))
    if change.first == change.last:  # behind the last line
        return types.Range(end, end), subject.line_end + text
    return types.Range(types.Position(change.first, 0), end), text


def _document(window: Window, params: Mapping[str, Any]) -> tuple[Document | None, str | None]:
    """The document, or None and the reason; no reason if the request names no document."""
    given = params.get("textDocument")
    if given is None:
        return None, None
    uri = str(given.get("uri") if isinstance(given, Mapping) else given)
    document = window.documents.open_document(uri)
    if document is None:
        return None, f"{uri} is not an open document"
    reason = window.parts.access.why_withheld(document)
    return (document, None) if reason is None else (None, f"{document.path} is excluded: {reason}")


def _lines(document: Document, kind: QuestionKind, given: Any, problems: Sequence[CodeProblem]) -> Lines:
    """The lines that the question is about."""
    lines = document.lines
    if given is None:
        if kind is QuestionKind.FIX and problems:
            return around_diagnostic(lines, problems[0].line, problems[0].line + 1)
        return 0, len(lines)
    begin, end = (document.to_index(_position(given[name])) for name in ("start", "end"))
    first, last = selected(begin, end)
    if kind is QuestionKind.FIX and last - first <= _FEW_LINES:
        return around_diagnostic(lines, first, last)
    is_name = last - first == 1 and kind in (QuestionKind.DOCUMENT, QuestionKind.TEST)
    return definition_at(lines, first) if begin == end or is_name else (first, last)


def _problem(document: Document, given: Any) -> CodeProblem:
    try:
        line = int(given["range"]["start"]["line"])
        return CodeProblem(message=str(given["message"]), source=str(given.get("source") or ""), line=line)
    except (KeyError, TypeError, ValueError) as error:
        raise JsonRpcInvalidParams(f"diagnostics must be as in LSP ({error!r})") from error


def _position(given: Mapping[str, Any]) -> types.Position:
    return types.Position(int(given["line"]), int(given["character"]))


def _failed(reason: str) -> JsonRpcException:
    return JsonRpcException(reason, code=types.LSPErrorCodes.RequestFailed)


def diagnostics_to_wire(diagnostics: Sequence[types.Diagnostic]) -> Iterator[dict[str, Any]]:
    """The fields of diagnostics that a question needs."""
    for each in diagnostics:
        start, end = each.range.start, each.range.end
        yield {
            "range": {
                "start": {"line": start.line, "character": start.character},
                "end": {"line": end.line, "character": end.character},
            },
            "message": each.message,
            "source": each.source,
        }
