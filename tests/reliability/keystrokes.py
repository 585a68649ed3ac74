"""Keystrokes in one session: most requests are superseded, some suggestions accepted, files switched."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from tests.reliability.outcome import Outcome
from tests.reliability.part import Part, outcome
from tests.reliability.processes import Json, Session, completion, language_server

_TEXT = Path(__file__).read_text(encoding="utf-8")
_N_FILES = 4
_SWITCH_EVERY, _WAIT_EVERY = 200, 10
# A document begins anew after so many keys, as somebody who writes and deletes.
_LONGEST_CHARS = 2_000


async def random_keystrokes(home: Path, *, count: int, seed: int) -> Part:
    """Type, and measure what the server holds after half of the keys and after all."""
    chance, failures, half = random.Random(seed), list[str](), None
    async with language_server(home) as session:
        documents = [_Document(session, f"file:///project/{number}.py") for number in range(_N_FILES)]
        document, asked = documents[0], list[asyncio.Future[Json]]()
        for number in range(1, count + 1):
            if number % _SWITCH_EVERY == 0:
                document = chance.choice(documents)
            document.type(_TEXT[number % len(_TEXT)])
            asked.append(session.ask(*completion(document.uri, *document.cursor)))
            if number % _WAIT_EVERY == 0:
                answers = await asyncio.wait_for(asyncio.gather(*asked), 60)
                failures += [str(one["error"]) for one in answers if "error" in one and not _cancelled(one)]
                asked.clear()
                if chance.random() < 0.3 and (items := answers[-1].get("result", {}).get("items")):
                    document.accept(items[0])
            else:
                await asyncio.sleep(chance.uniform(0, 0.02))
            if number == count // 2:
                half = session.held
        end = session.held
    return Part(name="keystrokes", count=count, failures=tuple(failures), half=half, end=end)


def _cancelled(answer: Json) -> bool:
    return answer["error"]["code"] in (-32800, -32802)


class _Document:
    def __init__(self, session: Session, uri: str) -> None:
        self.uri = uri
        self._session = session
        self._version = 1
        self._text = ""
        document = {"uri": uri, "languageId": "python", "version": 1, "text": ""}
        session.notify("textDocument/didOpen", {"textDocument": document})

    @property
    def cursor(self) -> tuple[int, int]:
        return self._text.count("\n"), len(self._text) - self._text.rfind("\n") - 1

    def type(self, text: str) -> None:
        line, column = self.cursor
        place = {"line": line, "character": column}
        change: Json = {"text": text, "range": {"start": place, "end": place}}
        self._text += text
        if len(self._text) > _LONGEST_CHARS:
            self._text, change = "", {"text": ""}
        self._version += 1
        identifier = {"uri": self.uri, "version": self._version}
        params = {"textDocument": identifier, "contentChanges": [change]}
        self._session.notify("textDocument/didChange", params)

    def accept(self, item: Json) -> None:
        self.type(item["insertText"][self.cursor[1] - item["range"]["start"]["character"] :])
        if (command := item.get("command")) is not None:
            self._session.notify("workspace/executeCommand", command)


def run(*, seed: int, is_long: bool) -> Outcome:
    """See the module."""
    return outcome(random_keystrokes, count=100_000 if is_long else 20_000, seed=seed)
