"""What a user can do about a match: open its source, read its licence, name the source in a comment.

Code actions on the diagnostics of `lsp.sources.attribution`, and the commands behind them, for every editor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from attribution.match.report import link
from lsp.documents.comments import comment_line
from lsp.sources.attribution import Attribution
from lsp.sources.marks import Mark
from lsp.sources.texts import comment_text, license_names, license_text, origin
from lsp.sources.wire import source_range
from model.local.private import SOURCES, TemporaryFolder

if TYPE_CHECKING:
    from attribution.source import Match
    from lsp.documents.client_facts import ClientFacts
    from lsp.documents.documents import Document, Documents

CHECK = "starcoder.checkAttribution"
SOURCE = "starcoder.attributionSource"
OPEN_SOURCE = "starcoder.openAttributionSource"
SHOW_LICENSE = "starcoder.showAttributionLicense"
CHECK_KIND = "source.starcoder.attribution"
KINDS = (types.CodeActionKind.QuickFix, CHECK_KIND)
GONE = "this match is not known any more: check again"


class MatchShower(Protocol):
    """How something is shown to the user."""

    def inform(self, message: str) -> None:
        """Show a message."""

    async def show(self, uri: str, place: types.Range | None) -> bool:
        """Show a document, or an address in the browser; False if the editor cannot."""


class AttributionActions:
    """Code actions and commands of one window."""

    def __init__(
        self, attribution: Attribution, documents: Documents, facts: ClientFacts, shower: MatchShower
    ) -> None:
        self._attribution = attribution
        self._documents = documents
        self._facts = facts
        self._shower = shower
        self._folder = TemporaryFolder(SOURCES)

    def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """What can be done at a place."""
        uri, place = params.text_document.uri, params.range
        found: list[types.CodeAction] = []
        if is_wanted(types.CodeActionKind.QuickFix, params.context):
            for mark in self._attribution.marks.at(uri, place):
                found += self._about(uri, mark)
        # Our own extension has a command and keys for it; others find it here.
        if not self._facts.wants_deltas and is_wanted(CHECK_KIND, params.context):
            argument = {"uri": uri, "range": place}
            found.append(_running("Where does this code come from?", CHECK, argument, kind=CHECK_KIND))
        return found

    async def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Check, and show the answer in editors that do nothing with it themselves."""
        result = await self._attribution.check(arguments)
        if not self._facts.wants_deltas:
            self._shower.inform(result["message"])
        return result

    async def open_source(self, match_id: str) -> None:
        """Open the source: its file in the workspace, else its address, else the index's text."""
        match = self._match(match_id)
        if match is None:
            return self._shower.inform(GONE)
        known = self._attribution.known(match_id)
        address = link(match)
        if known is not None and known.local_file is not None:
            if await self._shower.show(known.local_file.as_uri(), source_range(match)):
                return None
        elif address is not None and address.startswith(("https://", "http://")):
            if not await self._shower.show(address, None):
                self._shower.inform(f"{origin(match)}: {address}")
            return None
        return await self.show_text(match_id)

    async def show_text(self, match_id: str) -> None:
        """Show the source's text as a file that cannot be written."""
        match, source = self._match(match_id), await self._attribution.source(match_id)
        if match is None:
            return self._shower.inform(GONE)
        if source is None:
            return self._shower.inform(f"{origin(match)} is not in the index any more")
        path = self._written(match, source["text"])
        if not await self._shower.show(path.as_uri(), source_range(match)):
            self._shower.inform(f"{origin(match)}: see {path}")
        return None

    def show_license(self, match_id: str) -> None:
        """Show what the index knows of the licence."""
        match = self._match(match_id)
        self._shower.inform(GONE if match is None else license_text(match))

    def close(self) -> None:
        """Remove the texts that were written for the editor to show."""
        self._folder.close()

    def _match(self, match_id: str) -> Match | None:
        known = self._attribution.known(match_id)
        return None if known is None else known.finding.match

    def _about(self, uri: str, mark: Mark) -> Iterator[types.CodeAction]:
        match = self._match(mark.match_id)
        if match is None:
            return
        argument = {"id": mark.match_id}
        about = [mark.diagnostic]
        yield _running(f"Open {origin(match)}", OPEN_SOURCE, argument, about=about)
        if link(match) is not None:
            shown = {**argument, "text": True}
            yield _running(f"Show the indexed text of {match.source.path}", OPEN_SOURCE, shown, about=about)
        yield _running(f"Show the licence: {license_names(match)}", SHOW_LICENSE, argument, about=about)
        document = self._documents.open_document(uri)
        if document is not None and (edit := comment_edit(document, mark.range.start.line, match)):
            change = types.WorkspaceEdit(changes={uri: [edit]})
            yield types.CodeAction(
                title="Say in a comment where this comes from",
                kind=types.CodeActionKind.QuickFix,
                diagnostics=about,
                edit=change,
            )

    def _written(self, match: Match, text: str) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self._folder.path))
        path = self._folder.write(f"{folder.name}/{PurePosixPath(match.source.path).name or 'source'}", text)
        path.chmod(0o400)
        return path


def object_of(arguments: Sequence[Any]) -> Mapping[str, Any]:
    """A command's only argument. Raises `JsonRpcInvalidParams`."""
    first = arguments[0] if arguments else None
    if not isinstance(first, Mapping):
        raise JsonRpcInvalidParams(f"one object is expected as the argument, not {first!r}")
    return first


def match_id_of(arguments: Sequence[Any]) -> str:
    """The `id` in a command's argument. Raises `JsonRpcInvalidParams`."""
    return str(object_of(arguments).get("id"))


def comment_edit(document: Document, line: int, match: Match) -> types.TextEdit | None:
    """The edit that puts an attribution comment above a line; None in a language without comments."""
    written = comment_line(document.lines, line, document.language_id or "", comment_text(match))
    if written is None:
        return None
    at, text = written
    position = types.Position(at, 0)
    return types.TextEdit(range=types.Range(position, position), new_text=text)


def is_wanted(kind: str, context: types.CodeActionContext) -> bool:
    """Whether the client asks for actions of a kind, or of a kind above it."""
    # Known kinds are members of an enumeration, which format themselves by their Python names.
    names = [str(getattr(each, "value", each)) + "." for each in (kind, *(context.only or ()))]
    return context.only is None or names[0].startswith(tuple(names[1:]))


def _running(
    title: str,
    command: str,
    argument: Mapping[str, Any],
    *,
    kind: str = types.CodeActionKind.QuickFix,
    about: list[types.Diagnostic] | None = None,
) -> types.CodeAction:
    """A code action that runs a command of ours."""
    run = types.Command(title=title, command=command, arguments=[argument])
    return types.CodeAction(title=title, command=run, kind=kind, diagnostics=about)
