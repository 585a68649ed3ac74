"""A session at the keyboard: real edits in real files, as the language server asks the engine about them.

In each of three files, text is typed anew at three places, one after the other: letter by letter, with
a slip now and then that a backspace takes back. Each keystroke changes the document as the editor
would; the language server's own code cuts the window and lays out the question, the engine's own code
tokenizes it. Timed is from the edit to the first token. The next keystroke cancels what is left.

transformers gets the same tokens for some of the keystrokes, in turns with ours; it has nothing to keep
between two calls. Its time is that of the model alone.

    python -m benchmarks.replay [--keystrokes 300] [--compare 15] [--json]

With `--json` the last line is an object; milliseconds all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
from lsprotocol import types

from benchmarks.keystroke import Transformers, percentile_95, timed
from lsp.documents import Document
from lsp.place import find_place
from lsp.query import QueryMaker, is_single_line
from lsp.settings import CompletionSettings
from model.client import native_body
from model.engine import Engine, EngineOptions, load_engine
from model.generation import GenerationRequest
from model.hub import resolve
from model.prompting import generation_request
from model.protocol import CompletionBody, parse_body

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_FILES = (
    ROOT / "model/process.py",
    ROOT / "model/native/step.cpp",
    ROOT / "extension/src/commands.ts",
)
_PLACES = (0.6, 0.25, 0.85)
_SLIP_EVERY = 14
_WARM_UP = 3


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """One keystroke: `backspace` or a character, at a place in a document."""

    document: Document
    line: int
    start_char: int
    text: str
    is_backspace: bool = False
    is_jump: bool = False  # the first one at its place

    def press(self) -> tuple[int, int]:
        """Change the document; returns the cursor's line and character."""
        start, end = self.start_char, self.start_char
        start -= self.is_backspace
        place = types.Range(
            start=types.Position(line=self.line, character=start),
            end=types.Position(line=self.line, character=end),
        )
        self.document.apply_change(types.TextDocumentContentChangePartial(range=place, text=self.text))
        if self.text == "\n":
            return self.line + 1, 0
        return self.line, start + len(self.text)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One keystroke's answer."""

    ours_ms: float
    prompt_tokens: int
    computed_tokens: int
    is_jump: bool
    transformers_ms: float | None = None


def session(files: Sequence[Path], n_keystrokes: int) -> Iterator[Stroke]:
    """The keystrokes, as many in each file. Each must be pressed before the next is asked for."""
    for path in files:
        text = path.read_text(encoding="utf-8")
        yield from islice(_in_file(path, text, n_keystrokes // len(files)), n_keystrokes // len(files))


def _in_file(path: Path, text: str, n_keystrokes: int) -> Iterator[Stroke]:
    n_here = -(-n_keystrokes // len(_PLACES))
    for share in _PLACES:
        first = text.index("\n", int(len(text) * share)) + 1
        typed = text[first : first + n_here]
        document = Document(path.as_uri(), text[:first] + text[first + len(typed) :], version=0)
        line, column = text[:first].count("\n"), 0
        is_jump = True
        for n, character in enumerate(typed, 1):
            if n % _SLIP_EVERY == 0 and character != "\n":
                yield Stroke(document=document, line=line, start_char=column, text="q", is_jump=is_jump)
                yield Stroke(document=document, line=line, start_char=column + 1, text="", is_backspace=True)
            yield Stroke(document=document, line=line, start_char=column, text=character, is_jump=is_jump)
            line, column = (line + 1, 0) if character == "\n" else (line, column + 1)
            is_jump = False


class Typist:
    """Asks the engine about each keystroke, as a window of the language server does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._settings = CompletionSettings()
        self._maker = QueryMaker(is_allowed=lambda path: True, roots=lambda: [ROOT])
        self._maker.context_tokens = engine.config.n_positions

    def question(self, document: Document, line: int, start_char: int) -> GenerationRequest:
        """What the engine is asked at a place."""
        place = find_place(document, line, start_char)
        single_line = is_single_line(place, multiline=self._settings.multiline, explicit=False)
        query = self._maker.make(place, self._settings, single_line=single_line)
        body = parse_body(json.dumps(native_body(query)).encode(), CompletionBody)
        return generation_request(body, self._engine.tokenizer, self._engine.config)

    def answer(self, stroke: Stroke) -> tuple[Answer, GenerationRequest]:
        """Press a key and wait for the first token."""
        began = time.perf_counter()
        request = self.question(stroke.document, *stroke.press())
        before = self._engine.stats().computed_tokens
        handle = self._engine.submit(request)
        while not any(sequence.n_new_tokens or sequence.finish_reason for sequence in handle.sequences):
            self._engine.step()
        elapsed_ms = (time.perf_counter() - began) * 1e3
        computed = self._engine.stats().computed_tokens - before
        self._engine.cancel(handle)
        answer = Answer(
            ours_ms=elapsed_ms,
            prompt_tokens=len(request.prompt_ids),
            computed_tokens=computed,
            is_jump=stroke.is_jump,
        )
        return answer, request


def replay(
    engine: Engine, strokes: Iterator[Stroke], theirs: Transformers | None = None, every: int = 1
) -> list[Answer]:
    """Answer every keystroke; transformers answers each `every`-th too, after ours or before the next."""
    typist = Typist(engine)
    answers: list[Answer] = []
    for number, stroke in enumerate(strokes):
        answer, request = typist.answer(stroke)
        transformers_ms = None
        if theirs is not None and number % every == 0:
            _, transformers_ms = timed(theirs, list(request.prompt_ids))
        answers.append(Answer(**asdict(answer) | {"transformers_ms": transformers_ms}))
    return answers


def summary(answers: Sequence[Answer]) -> dict[str, float]:
    """Medians and 95th percentiles of the session."""
    keys = [answer for answer in answers if not answer.is_jump]
    ours = [answer.ours_ms for answer in keys]
    figures = {
        "keystrokes": len(answers),
        "prompt_tokens": statistics.median(answer.prompt_tokens for answer in answers),
        "ours_p50_ms": statistics.median(ours),
        "ours_p95_ms": percentile_95(ours),
        "computed_tokens_p50": statistics.median(answer.computed_tokens for answer in keys),
        "computed_tokens_p95": percentile_95([answer.computed_tokens for answer in keys]),
        "jumps": len(answers) - len(keys),
        "jump_p50_ms": statistics.median(answer.ours_ms for answer in answers if answer.is_jump),
        "reused": 1 - sum(a.computed_tokens for a in answers) / sum(a.prompt_tokens for a in answers),
    }
    compared = [answer for answer in answers if answer.transformers_ms is not None][_WARM_UP:]
    if compared:
        theirs = [answer.transformers_ms for answer in compared if answer.transformers_ms is not None]
        figures |= {
            "compared": len(compared),
            "transformers_p50_ms": statistics.median(theirs),
            "transformers_p95_ms": percentile_95(theirs),
            "ratio_p50": statistics.median(theirs) / statistics.median(answer.ours_ms for answer in compared),
        }
    return figures


def describe(figures: dict[str, float], engine: Engine) -> str:
    """The figures for people."""
    how = engine.description
    lines = [
        f"{figures['keystrokes']:.0f} keystrokes, prompts of {figures['prompt_tokens']:.0f} tokens (median), "
        f"{how['quantize']}, {how['step']}, {how['threads']} threads",
        f"  ours: p50 {figures['ours_p50_ms']:.2f} ms, p95 {figures['ours_p95_ms']:.2f} ms to the first "
        f"token, for which {figures['computed_tokens_p50']:.0f} (p95 {figures['computed_tokens_p95']:.0f}) "
        "tokens were computed",
        f"  after a jump to another place ({figures['jumps']:.0f}): p50 {figures['jump_p50_ms']:.1f} ms; "
        f"{figures['reused']:.1%} of all the prompts' tokens were reused",
    ]
    if "compared" in figures:
        lines.append(
            f"  transformers ({figures['compared']:.0f} of them, in turns): p50 "
            f"{figures['transformers_p50_ms']:.1f} ms, p95 {figures['transformers_p95_ms']:.1f} ms: "
            f"{figures['ratio_p50']:.0f} times as long"
        )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.replay", description=__doc__.split("\n")[0]
    )
    arguments.add_argument("--model", default="starter", help="a bundled name or a folder (default: starter)")
    arguments.add_argument("--files", type=Path, nargs="+", default=DEFAULT_FILES, help="three real files")
    arguments.add_argument("--keystrokes", type=int, default=300, help="in all files together")
    arguments.add_argument("--compare", type=int, default=15, help="with transformers (0: with nobody)")
    arguments.add_argument("--quantize", default="auto", help="of ours: auto, none, int8 or int4")
    arguments.add_argument("--threads", type=int, help="of both (default: all)")
    arguments.add_argument("--json", action="store_true", help="print an object as the last line")
    return arguments


def main() -> int:
    """Run and print."""
    options = parser().parse_args()
    folder = resolve(options.model).folder
    engine = load_engine(
        folder, device="cpu", quantize=options.quantize, options=EngineOptions(threads=options.threads)
    )
    theirs = None
    if options.compare:
        torch.set_num_threads(int(engine.description["threads"]))
        theirs = Transformers(folder, dtype=torch.bfloat16, device="cpu")
    every = max(1, options.keystrokes // max(1, options.compare + _WARM_UP))
    answers = replay(engine, session(options.files, options.keystrokes), theirs, every)
    figures = summary(answers)
    print(describe(figures, engine))
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
