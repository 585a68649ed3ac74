"""A model's own answers at the holes, with what the editor closed behind the cursor and without."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.closing.holes import Hole, parses
from benchmarks.closing.product import Editor
from model.client.client import CompletionQuery, native_body
from model.engine.engine import Engine, EngineOptions
from model.serve.prompting import generation_request
from model.serve.protocol import CompletionBody, parse_body
from model.start.load import load_engine
from model.weights.hub import resolve


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Whether the accepted text parses where the editor closed, and where it did not. None: nothing shown."""

    hole: Hole
    closed: bool | None
    unclosed: bool | None
    answer: str


class Model:
    """An engine in this process."""

    def __init__(self, name: str, threads: int) -> None:
        self._engine: Engine = load_engine(resolve(name).folder, options=EngineOptions(threads=threads))

    def answer(self, query: CompletionQuery) -> tuple[str, str]:
        """What the engine sends, and why it ended."""
        body = parse_body(json.dumps(native_body(query)).encode(), CompletionBody)
        request = generation_request(body, self._engine.tokenizer, self._engine.config)
        handle = self._engine.submit(request)
        text, reason = "", ""
        while not handle.done:
            for _, delta in self._engine.step():
                text, reason = text + delta.text, delta.finish_reason or reason
        return text, reason


def answered(model: Model, holes: Iterable[Hole]) -> Iterator[Answered]:
    """Both documents of each hole."""
    for hole in holes:
        closed, answer = _parses(model, hole, hole.tail + hole.after)
        unclosed, _ = _parses(model, hole, hole.after)
        yield Answered(hole=hole, closed=closed, unclosed=unclosed, answer=answer)


def _parses(model: Model, hole: Hole, after: str) -> tuple[bool | None, str]:
    editor = Editor(hole.path, hole.language_id, hole.before, after)
    answer, reason = model.answer(editor.query())
    accepted = editor.accept(answer, reason)
    return None if accepted is None else parses(hole.extension, accepted), answer
