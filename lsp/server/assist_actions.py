"""The assistant's code actions, and its answers in editors that do not know it.

Our own extension has a panel: it gets the command `starcoder.assist` and asks by itself. For any other
editor the server asks (`starcoder.runAssist`), shows the answer as a document or a message, and offers the
change by `workspace/applyEdit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from lsprotocol import types

from lsp.assistant.prompt import QuestionKind
from lsp.server.assist import answer_assist, diagnostics_to_wire
from lsp.server.attribution_actions import is_wanted
from lsp.sources.marks import SOURCE as ATTRIBUTION
from model.local.private import ANSWERS, TemporaryFolder

if TYPE_CHECKING:
    from lsp.server.window import Window

ASK_CLIENT = "starcoder.assist"
RUN = "starcoder.runAssist"
KIND = f"{types.CodeActionKind.Refactor.value}.starcoder"
MAX_FIXES = 5
_MAX_MESSAGE_CHARS = 1_500
_TITLES = {
    QuestionKind.EXPLAIN: "Explain",
    QuestionKind.DOCUMENT: "Document",
    QuestionKind.TEST: "Write a test",
    QuestionKind.ASK: "Ask…",
}


class AnswerShower(Protocol):
    """How an answer is shown to the user."""

    def inform(self, message: str) -> None:
        """Show a message."""

    async def show(self, uri: str, place: types.Range | None) -> bool:
        """Show a document; False if the editor cannot."""

    def working(self, title: str) -> AbstractAsyncContextManager[Callable[[], bool]]:
        """Show that something is under way; gives whether the user has cancelled it."""

    async def apply(self, edit: types.WorkspaceEdit, label: str) -> str | None:
        """Offer an edit; None if it was applied, else why not."""


class AssistActions:
    """Code actions of one window, and the command behind them."""

    def __init__(self, window: Window, shower: AnswerShower) -> None:
        self._window = window
        self._shower = shower
        self._folder = TemporaryFolder(ANSWERS)
        self._n_answers = 0

    def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """What can be asked about a place. Without a selection or a key only fixes: no lamp on every line."""
        window, uri, context = self._window, params.text_document.uri, params.context
        document = window.documents.open_document(uri)
        if document is None or window.parts.access.why_withheld(document) is not None:
            return []
        found: list[types.CodeAction] = []
        if is_wanted(types.CodeActionKind.QuickFix.value, context):
            theirs = [each for each in context.diagnostics if each.source != ATTRIBUTION]
            found += [self._fix(uri, each) for each in theirs[:MAX_FIXES]]
        is_asked = context.trigger_kind != types.CodeActionTriggerKind.Automatic
        if is_wanted(KIND, context) and (is_asked or params.range.start != params.range.end):
            found += [
                self._action(title, {"kind": kind.value, "uri": uri, "range": params.range}, kind=KIND)
                for kind, title in _TITLES.items()
                if kind is not QuestionKind.ASK or window.facts.wants_deltas
            ]
        return found

    async def run(self, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """Ask, and show the answer. Returns the result of `starcoder/assist`; None if the user gave up."""
        asked = dict(arguments)
        if (uri := asked.pop("uri", None)) is not None:
            asked["textDocument"] = {"uri": uri}
        try:
            async with self._shower.working("StarCoder") as is_given_up:
                result = await answer_assist(self._window, asked, lambda piece: _end_if(is_given_up()))
        except GivenUpError:
            return None
        await self._show(result)
        edit = result["edit"]
        if edit is not None and (reason := await self._shower.apply(edit, "StarCoder")) is not None:
            result["note"] = f"the change was not applied: {reason}"
        if result["note"]:
            self._shower.inform(f"StarCoder: {result['note']}")
        return result

    def close(self) -> None:
        """Remove the files that were written for the editor to show."""
        self._folder.close()

    async def _show(self, result: Mapping[str, Any]) -> None:
        who = ", ".join(filter(None, (result["model"], result["caution"])))
        text = f"{result['text'].rstrip()}\n\n— {who}\n{_sources(result['references'])}"
        if self._window.facts.shows_documents and await self._shower.show(self._written(text), None):
            return
        self._shower.inform(text if len(text) <= _MAX_MESSAGE_CHARS else text[:_MAX_MESSAGE_CHARS] + "…")

    def _written(self, text: str) -> str:
        """The URI of a new file with the text."""
        self._n_answers += 1
        return self._folder.write(f"answer-{self._n_answers}.md", text).as_uri()

    def _fix(self, uri: str, diagnostic: types.Diagnostic) -> types.CodeAction:
        message = " ".join(diagnostic.message.split())
        title = f"Fix this diagnostic: {message if len(message) <= 60 else message[:59] + '…'}"
        argument = {
            "kind": QuestionKind.FIX.value,
            "uri": uri,
            "range": diagnostic.range,
            "diagnostics": list(diagnostics_to_wire([diagnostic])),
        }
        return self._action(title, argument, kind=types.CodeActionKind.QuickFix.value, about=[diagnostic])

    def _action(
        self,
        title: str,
        argument: Mapping[str, Any],
        *,
        kind: str,
        about: list[types.Diagnostic] | None = None,
    ) -> types.CodeAction:
        name = ASK_CLIENT if self._window.facts.wants_deltas else RUN
        command = types.Command(title=title, command=name, arguments=[argument])
        return types.CodeAction(title=title, command=command, kind=kind, diagnostics=about)


class GivenUpError(Exception):
    """The user does not want the answer any more."""


def _end_if(is_given_up: bool) -> None:
    if is_given_up:
        raise GivenUpError


def _sources(references: Sequence[Mapping[str, Any]]) -> str:
    """Below an answer: where its code is from."""
    lines = [
        f"- {each['license'] or 'licence unknown'}: {each['name']}"
        + (f"/{each['path']}, lines {each['startLine']} to {each['endLine']}" if each["path"] else "")
        for each in references
    ]
    return "\n".join(["\nParts of this are found in:", *lines, ""]) if lines else ""
