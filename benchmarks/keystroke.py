"""A session at the keyboard: from a keystroke to the next token, beside transformers with the same weights.

In each of three files, text is typed anew at three places, one after the other: letter by letter, with
a slip now and then that a backspace takes back. Each keystroke changes the document as the editor
would; the language server's own code cuts the window and lays out the question, the engine's own code
tokenizes it. Timed is from the edit to the first token. The next keystroke cancels what is left.

transformers gets the same tokens for every n-th keystroke, in turns with ours; it has nothing to keep
between two of them. Its time is that of the model alone.

    python -m benchmarks.keystroke [--keystrokes 300] [--every 6] [--json]

With `--json` the last line is an object: `Report`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from benchmarks.engine.contender import percentile_95
from benchmarks.replay.questions import Questions
from benchmarks.replay.session import FILES, Stroke, session
from model.client.client import native_body
from model.engine.engine import Engine, EngineOptions
from model.engine.generation import GenerationRequest
from model.serve.prompting import generation_request
from model.serve.protocol import CompletionBody, parse_body
from model.start.load import load_engine
from model.weights.hub import resolve

if TYPE_CHECKING:
    from benchmarks.engine.transformers_peer import Transformers

_WARM_UP = 3


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What transformers needed for a keystroke, and whether it found the same next token."""

    transformers_ms: float
    same_token: bool


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One keystroke's answer."""

    ours_ms: float
    prompt_tokens: int
    computed_tokens: int
    is_jump: bool
    compared: Comparison | None = None


class Typist:
    """Asks the engine about each keystroke, as a window of the language server does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._questions = Questions(engine.config.n_positions)

    def answer(self, stroke: Stroke) -> tuple[Answer, GenerationRequest]:
        """Press a key and wait for the first token."""
        before = self._engine.stats().computed_tokens
        began = time.perf_counter()
        request = self._question(stroke)
        self.next_token(request)
        answer = Answer(
            ours_ms=(time.perf_counter() - began) * 1e3,
            prompt_tokens=len(request.prompt_ids),
            computed_tokens=self._engine.stats().computed_tokens - before,
            is_jump=stroke.is_jump,
        )
        return answer, request

    def _question(self, stroke: Stroke) -> GenerationRequest:
        query = self._questions.after(stroke)
        body = parse_body(json.dumps(native_body(query)).encode(), CompletionBody)
        return generation_request(body, self._engine.tokenizer, self._engine.config)

    def next_token(self, request: GenerationRequest) -> int | None:
        """The first token of the answer; None where it ends at once."""
        handle = self._engine.submit(request)
        [sequence] = handle.sequences
        while not sequence.n_new_tokens and sequence.finish_reason is None:
            self._engine.step()
        self._engine.cancel(handle)
        return int(sequence.tokens[sequence.n_prompt]) if sequence.n_new_tokens else None


def replay(typist: Typist, strokes: Iterable[Stroke], theirs: Transformers, every: int) -> Iterator[Answer]:
    """Answer all keystrokes, each `every`-th by transformers too."""
    for number, stroke in enumerate(strokes):
        answer, request = typist.answer(stroke)
        if number % every == 0:
            began = time.perf_counter()
            token = theirs.prefill(request.prompt_ids)
            elapsed_ms = (time.perf_counter() - began) * 1e3
            # Asked once more, as ours had to begin with a word that stands before the cursor.
            freely = replace(request, healed=b"", ignore_eos=True)
            same = typist.next_token(freely) == token
            answer = replace(answer, compared=Comparison(transformers_ms=elapsed_ms, same_token=same))
        yield answer


@dataclass(frozen=True, kw_only=True)
class Report:
    """Medians, 95th percentiles and shares.

    The first six are of the keystrokes that both answered; of those that are no jumps to another place
    are `keystroke_…` and `computed_…` (tokens that went through the model); the rest is of all.
    """

    ours_ms: float
    transformers_ms: float
    ratio: float
    transformers_p95_ms: float
    compared: int
    same_token: float
    keystroke_ms: float
    keystroke_p95_ms: float
    computed_tokens: float
    computed_tokens_p95: float
    jump_ms: float
    jumps: int
    keystrokes: int
    prompt_tokens: float
    reused: float


def summarise(answers: Sequence[Answer]) -> Report:
    """The session in numbers. transformers' first few answers only warm it up."""
    keys = [answer for answer in answers if not answer.is_jump]
    jumps_ms = [answer.ours_ms for answer in answers if answer.is_jump]
    both = [(answer.ours_ms, answer.compared) for answer in answers if answer.compared][_WARM_UP:]
    ours_ms = statistics.median(ours_ms for ours_ms, _ in both)
    theirs_ms = [theirs.transformers_ms for _, theirs in both]
    return Report(
        ours_ms=ours_ms,
        transformers_ms=statistics.median(theirs_ms),
        ratio=statistics.median(theirs_ms) / ours_ms,
        transformers_p95_ms=percentile_95(theirs_ms),
        compared=len(both),
        same_token=statistics.fmean(theirs.same_token for _, theirs in both),
        keystroke_ms=statistics.median(answer.ours_ms for answer in keys),
        keystroke_p95_ms=percentile_95([answer.ours_ms for answer in keys]),
        computed_tokens=statistics.median(answer.computed_tokens for answer in keys),
        computed_tokens_p95=percentile_95([answer.computed_tokens for answer in keys]),
        jump_ms=statistics.median(jumps_ms),
        jumps=len(jumps_ms),
        keystrokes=len(answers),
        prompt_tokens=statistics.median(answer.prompt_tokens for answer in answers),
        reused=1 - sum(a.computed_tokens for a in answers) / sum(a.prompt_tokens for a in answers),
    )


def describe(report: Report) -> str:
    """The report for people."""
    return (
        f"{report.keystrokes} keystrokes, prompts of {report.prompt_tokens:.0f} tokens (median)\n"
        f"  ours: {report.keystroke_ms:.2f} ms to the first token (95th percentile "
        f"{report.keystroke_p95_ms:.2f}), for which {report.computed_tokens:.0f} (95th percentile "
        f"{report.computed_tokens_p95:.0f}) tokens were computed\n"
        f"  after a jump to another place ({report.jumps}): {report.jump_ms:.1f} ms; "
        f"{report.reused:.1%} of all the prompts' tokens were reused\n"
        f"  transformers ({report.compared} of them, in turns): {report.transformers_ms:.1f} ms (95th "
        f"percentile {report.transformers_p95_ms:.1f}), {report.ratio:.0f} times as long as ours of the "
        f"same; the same next token for {report.same_token:.0%}"
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.keystroke", description=__doc__.split("\n")[0]
    )
    arguments.add_argument("--model", default="starter", help="a bundled name or a folder (default: starter)")
    arguments.add_argument("--keystrokes", type=int, default=300, help="in all files together")
    arguments.add_argument("--every", type=int, default=6, help="how many a comparison (default: 6)")
    arguments.add_argument("--threads", type=int, help="of both (default: all)")
    arguments.add_argument("--json", action="store_true", help="print an object as the last line")
    return arguments


def main() -> int:
    """Run and print."""
    options = parser().parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before PyTorch reads it, as the engine sets it
    import torch

    from benchmarks.engine.transformers_peer import Transformers

    folder = resolve(options.model).folder
    engine = load_engine(folder, device="cpu", options=EngineOptions(threads=options.threads))
    threads = engine.description["threads"]
    theirs = Transformers(folder, dtype=torch.bfloat16, threads=int(threads))
    answers = []
    with Progress(console=Console(stderr=True), auto_refresh=False, transient=True) as progress:
        bar = progress.add_task("Typing", total=options.keystrokes)
        for answer in replay(Typist(engine), session(FILES, options.keystrokes), theirs, options.every):
            answers.append(answer)
            progress.update(bar, advance=1, refresh=True)  # not from a thread, which would be timed
    report = summarise(answers)
    print(f"{options.model}, {engine.description['quantize']}, {threads} threads; {theirs.name}")
    print(describe(report))
    if options.json:
        print(json.dumps(asdict(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
