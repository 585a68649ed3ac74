"""Attribution in one editor window: looks up what the user asks about, and remembers what was found.

The answer is the command's result, and every editor also shows it as diagnostics. `lsp.sources.store`
searches, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from attribution.match.report import link
from attribution.source import content_key
from lsp.documents.documents import Document, Documents, file_path
from lsp.documents.surroundings import around
from lsp.sources.marks import SOURCE, Mark, Marks
from lsp.sources.shown_check import ShownCheck
from lsp.sources.store import AttributionStore, FoundCopy, SearchAnswer, Where
from lsp.sources.texts import match_line, summary
from lsp.sources.wire import LookUp, match_to_wire, position_of, range_of, source_range
from lsp.status.worker import Worker

if TYPE_CHECKING:
    from attribution.source import Match
    from lsp.documents.place import Place
    from lsp.settings.settings import Settings
    from lsp.status.observer import Observer
    from lsp.status.status import StatusBoard
    from lsp.status.telemetry import LatencyBook

KEPT_MATCHES = 400
# After this time the user is told that the index does not answer.
WAIT_S = 30.0
STATUS_WAIT_S = 3.0
_END_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Known:
    """A match that an answer has named, and its file if that is in the workspace."""

    finding: FoundCopy
    local_file: Path | None


class Attribution:
    """What one window needs of attribution."""

    def __init__(
        self,
        settings: Settings,
        *,
        documents: Documents,
        book: LatencyBook,
        board: StatusBoard,
        observer: Observer,
        why_not: Callable[[str, str], str | None],
        settings_at: Callable[[Place], Settings],
    ) -> None:
        self.marks = Marks(observer.publish)
        self._settings = settings
        self._documents = documents
        self._book = book
        self._why_not = why_not
        self._store = AttributionStore(Where.of(settings))
        self._worker = Worker("attribution")
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._n_matches = 0
        self._is_prepared = False
        self.shown_check = ShownCheck(
            store=self._store,
            worker=self._worker,
            book=book,
            on_match=lambda place: settings_at(place).attribution.on_match,
            tell=board.exclude,
            log=observer.note,
            why_not=why_not,
        )

    @property
    def model(self) -> str:
        """The local model's name, "" where a server's is used."""
        return self._store.where.model or ""

    def configure(self, settings: Settings) -> None:
        """Use other settings from the next question on."""
        self._settings = settings
        if (where := Where.of(settings)) != self._store.where:
            if self._is_prepared:
                self._worker.submit(self._store.close)
            self._store = self.shown_check.store = AttributionStore(where)
            self._is_prepared = False
            self.marks.clear()

    def prepare(self) -> None:
        """Open the index in the background, once, before the first suggestion needs it."""
        if not self._is_prepared:
            self._is_prepared = True
            self._worker.submit(partial(self._store.search, b"", by_hand=False))

    async def aclose(self) -> None:
        """Close the index. One that hangs is left to the end of the process."""
        if self._is_prepared:
            await asyncio.wait([self._worker.submit(self._store.close)], timeout=_END_S)
        self._worker.end()

    # Questions

    async def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """`starcoder.checkAttribution`. Raises `JsonRpcInvalidParams` for bad arguments."""
        question = self._question(arguments)
        document, started_s = question.document, time.perf_counter()
        version = None if document is None else document.version
        data = question.text.encode("utf-8", "surrogatepass")
        if (reason := self._why_not(question.uri, question.text)) is not None:
            lack = f"{question.uri.rsplit('/', 1)[-1]} is not looked up: {reason}"
            answer, files = SearchAnswer(kind="none", lack=lack), list[Path | None]()
        else:
            answer, files = await self._ask(data, file=file_path(question.uri))
            self._book.checked((time.perf_counter() - started_s) * 1e3, by_hand=True)
        ids = [self._remember(*pair) for pair in zip(answer.findings, files, strict=True)]
        ranges = [range_of(question, data, finding) for finding in answer.findings]
        if document is not None and document.version == version:
            self.marks.put(
                question.uri,
                [
                    Mark(match_id=id_, diagnostic=self._diagnostic(self._known[id_], place))
                    for id_, place in zip(ids, ranges, strict=True)
                    if place is not None
                ],
            )
        whole = FoundCopy(kind="", tokens=0, similarity=0.0, start_byte=0, end_byte=len(data))
        return {
            "uri": question.uri,
            "version": version,
            "checked": range_of(question, data, whole),
            "searched": {"kind": answer.kind, "index": answer.index, "documents": answer.documents},
            "message": summary(answer, self.model),
            "matches": [
                match_to_wire(id_, finding, place)
                for id_, finding, place in zip(ids, answer.findings, ranges, strict=True)
            ],
        }

    async def source(self, match_id: str) -> dict[str, Any] | None:
        """`starcoder.attributionSource`: the source's text; None if the index does not have it (any more)."""
        known = self._known.get(match_id)
        if known is None or known.finding.match is None:
            return None
        match = known.finding.match
        text = await self._worker.submit(partial(self._store.text_of, match))
        if text is None:
            return None
        return {
            "name": f"{match.source.repository}/{match.source.path}",
            "text": text.decode("utf-8", errors="replace"),
            "startLine": match.source_span.start_line,
            "endLine": match.source_span.end_line,
            "license": match.source.license,
            "url": link(match),
        }

    async def describe(self) -> dict[str, Any]:
        """Where a question would be asked, for the status."""
        answer, _ = await self._ask(b"", wait_s=STATUS_WAIT_S)
        return {
            "kind": answer.kind,
            "index": answer.index,
            "documents": answer.documents,
            "message": answer.lack or answer.caveat,
        }

    def known(self, match_id: str) -> Known | None:
        """A match that was named lately."""
        return self._known.get(match_id)

    async def look_up(self, text: str) -> SearchAnswer | None:
        """Look up a text that stands in no document; None if that takes too long.

        It is judged as a new file in the workspace's first folder would be.
        """
        self._is_prepared = True
        started_s = time.perf_counter()
        file = next((root / "answer" for root in self._documents.roots()), None)
        data = text.encode("utf-8", "surrogatepass")
        search = partial(self._store.search, data, by_hand=False, file=file)
        try:
            async with asyncio.timeout(WAIT_S):
                answer = await self._worker.submit(search)
        except TimeoutError:
            return None
        if answer.kind != "none":
            self._book.checked((time.perf_counter() - started_s) * 1e3, by_hand=False)
        return answer

    @property
    def is_strict(self) -> bool:
        """Whether answers, which have no place, are without copies and text that could not be checked."""
        return self._settings.attribution.withholds

    @property
    def on_match(self) -> str:
        """What becomes of answers that are copies."""
        return self._settings.attribution.on_match

    async def _ask(
        self, data: bytes, *, wait_s: float = WAIT_S, file: Path | None = None
    ) -> tuple[SearchAnswer, list[Path | None]]:
        self._is_prepared = True
        store, roots = self._store, self._documents.roots()

        def search() -> tuple[SearchAnswer, list[Path | None]]:
            answer = store.search(data, by_hand=True, file=file)
            return answer, [_local_file(finding.match, roots) for finding in answer.findings]

        try:
            async with asyncio.timeout(wait_s):
                return await self._worker.submit(search)
        except TimeoutError:
            lack = f"the attribution index has not answered for {wait_s:.0f} s"
            return SearchAnswer(kind="none", index=store.shown_index(), lack=lack), []

    def _question(self, arguments: Mapping[str, Any]) -> LookUp:
        uri = str(arguments.get("uri") or "")
        if isinstance(text := arguments.get("text"), str):
            return LookUp(uri=uri, text=text)
        document = self._documents.open_document(uri)
        if document is None:
            raise JsonRpcInvalidParams(f"{uri or 'uri'}: not an open document; open it, or give its `text`")
        try:
            begin, end = self._extent(document, arguments)
        except (KeyError, TypeError, ValueError) as error:
            raise JsonRpcInvalidParams(f"range and position must be as in LSP ({error!r})") from error
        lines = list(document.lines[begin[0] : end[0] + 1])
        lines[-1] = lines[-1][: end[1]]
        lines[0] = lines[0][begin[1] :]
        return LookUp(uri=uri, text="".join(lines), document=document, start=begin)

    def _extent(
        self, document: Document, arguments: Mapping[str, Any]
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """(line, character) of both ends: of the selection, the code around the cursor, or everything."""
        given, position = arguments.get("range"), arguments.get("position")
        if given is not None:
            begin, end = (document.to_index(position_of(given[name])) for name in ("start", "end"))
            if begin < end:
                return begin, end
            position = position or given["start"]
        lines = document.lines
        first, last = 0, len(lines)
        if position is not None:
            first, last = around(lines, document.to_index(position_of(position))[0])
        return (first, 0), (last - 1, len(lines[last - 1]))

    # Answers

    def _remember(self, finding: FoundCopy, local_file: Path | None) -> str:
        self._n_matches += 1
        match_id = f"match-{self._n_matches}"
        self._known[match_id] = Known(finding=finding, local_file=local_file)
        if len(self._known) > KEPT_MATCHES:
            self._known.popitem(last=False)
        return match_id

    def _diagnostic(self, known: Known, place: types.Range) -> types.Diagnostic:
        finding, match = known.finding, known.finding.match
        href = None if match is None else _web(link(match))
        diagnostic = types.Diagnostic(
            range=place,
            message=match_line(finding, self.model),
            severity=types.DiagnosticSeverity.Information,
            source=SOURCE,
            code=finding.kind,
            code_description=types.CodeDescription(href=href) if href else None,
        )
        if match is None or known.local_file is None:
            return diagnostic
        location = types.Location(uri=known.local_file.as_uri(), range=source_range(match))
        related = types.DiagnosticRelatedInformation(location=location, message="the source")
        diagnostic.related_information = [related]
        return diagnostic


def _web(address: str | None) -> str | None:
    """An address that an editor may open. An index is not trusted with other schemes."""
    return address if address is not None and address.startswith(("https://", "http://")) else None


def _local_file(match: Match | None, roots: Sequence[Path]) -> Path | None:
    """The match's own file, if it lies in the workspace under its path and with its content."""
    if match is None:
        return None
    inner = PurePosixPath(match.source.path)
    if inner.is_absolute() or ".." in inner.parts:
        return None
    name = match.source.repository.rpartition("/")[2]
    for root in roots:
        for path in (root / inner, root / name / inner):
            if path.is_file() and content_key(path.read_bytes()) == match.key:
                return path
    return None
