"""From a keystroke to the next token: our engine against transformers' `generate`, same weights.

Replays the typing of a real file. After each character, both are asked for the next token of the
same prompt, in turns. Ours keeps what it knows of the prompt from the keystroke before (SPM order);
`generate` has nothing to keep it in between two calls, and computes the prompt anew.

    python -m benchmarks.keystroke [--model FOLDER] [--file FILE] [--keystrokes 40] [--json]

With `--json` the last line is an object with `ours_ms`, `transformers_ms` and `ratio`, medians all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, GPTBigCodeConfig, GPTBigCodeForCausalLM
from transformers.utils import logging as transformers_logging

from model.async_engine import AsyncEngine
from model.checkpoint import dense_state
from model.engine import Engine, EngineOptions, load_engine
from model.fim import build_prompt
from model.fim_format import FimOrder
from model.generation import GenerationRequest
from model.hub import resolve
from model.sampling import SamplingParams
from model.tokenizer import Tokenizer

# A file of this repository that is long enough to fill a window of 1,024 tokens.
DEFAULT_FILE = Path(__file__).resolve().parent.parent / "model" / "process.py"


@dataclass(frozen=True, kw_only=True)
class Keystroke:
    """The text around the cursor after one more character."""

    prefix: str
    suffix: str


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One keystroke, answered by both."""

    prompt_tokens: int
    computed_tokens: int
    ours_ms: float
    transformers_ms: float
    same_token: bool


@dataclass(frozen=True, kw_only=True)
class Report:
    """The run in numbers: milliseconds to the next token, medians over the keystrokes."""

    ours_ms: float
    transformers_ms: float
    ratio: float
    ours_p95_ms: float
    transformers_p95_ms: float
    prompt_tokens: int
    computed_tokens: float
    keystrokes: int
    same_token: float
    model: str
    threads: int
    ours: str
    transformers: str


def typing_of(text: str, *, n_keystrokes: int, start: float) -> Iterator[Keystroke]:
    """Type the characters that follow a place in the text (`start`: 0 its beginning, 1 its end).

    What has not been typed yet is missing, what follows it is the suffix, as in an insertion.
    """
    first = min(int(len(text) * start), len(text) - n_keystrokes - 1)
    if first < 0:
        raise SystemExit(f"the file has {len(text)} characters; {n_keystrokes} keystrokes need more")
    suffix = text[first + n_keystrokes :]
    for n_typed in range(1, n_keystrokes + 1):
        yield Keystroke(prefix=text[: first + n_typed], suffix=suffix)


def prompt_ids(keystroke: Keystroke, tokenizer: Tokenizer, *, max_prompt_tokens: int) -> list[int]:
    """The prompt as the server lays it out; not healed, so that both are asked the same question."""
    prompt = build_prompt(
        tokenizer,
        prefix=keystroke.prefix,
        suffix=keystroke.suffix,
        order=FimOrder.SPM,
        max_prompt_tokens=max_prompt_tokens,
        heal=False,
    )
    return prompt.token_ids


class Ours:
    """The engine in its thread, as the HTTP face drives it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = AsyncEngine(engine)
        self._engine.start()

    async def next_token(self, ids: list[int]) -> tuple[int, int]:
        """The next token, and how many tokens went through the model for it."""
        request = GenerationRequest(
            prompt_ids=ids, sampling=SamplingParams(max_new_tokens=1), ignore_eos=True
        )
        async with aclosing(self._engine.generate(request)) as deltas:
            async for delta in deltas:
                if delta.timings is not None:
                    return delta.token_ids[0], delta.timings.computed_tokens
        raise AssertionError("the engine ended its answer without timings")

    async def aclose(self) -> None:
        """End the engine's thread."""
        await self._engine.stop()


class Transformers:
    """`generate` on the same weights; quantised ones are turned back into the number type first."""

    def __init__(self, folder: Path, *, dtype: torch.dtype, device: str) -> None:
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        config = GPTBigCodeConfig.from_pretrained(folder)
        model: Any = GPTBigCodeForCausalLM(config)  # transformers is annotated in part only
        model = model.to(dtype)
        model.load_state_dict(dense_state(folder, dtype), strict=False)  # the head is tied to the embedding
        model.tie_weights()
        self._model = model.eval().to(device)
        self._device = device
        self._generation = GenerationConfig(  # type: ignore[no-untyped-call]  # partly annotated
            max_new_tokens=1, do_sample=False, pad_token_id=config.eos_token_id, eos_token_id=None
        )

    def next_token(self, ids: list[int]) -> int:
        """The next token, from the prompt alone."""
        inputs = torch.tensor([ids], device=self._device)
        with torch.inference_mode():
            output = self._model.generate(
                inputs, attention_mask=torch.ones_like(inputs), generation_config=self._generation
            )
        return int(output[0, -1])


async def measure(
    ours: Ours, theirs: Transformers, prompts: list[list[int]], *, n_warm_up: int
) -> list[Measurement]:
    """Answer each prompt twice, taking turns at going first. The first few only warm up."""
    measurements = []
    for turn, ids in enumerate(prompts):
        if turn % 2:
            theirs_id, theirs_ms = timed(theirs, ids)
            (ours_id, n_computed), ours_ms = await timed_ours(ours, ids)
        else:
            (ours_id, n_computed), ours_ms = await timed_ours(ours, ids)
            theirs_id, theirs_ms = timed(theirs, ids)
        measurements.append(
            Measurement(
                prompt_tokens=len(ids),
                computed_tokens=n_computed,
                ours_ms=ours_ms,
                transformers_ms=theirs_ms,
                same_token=ours_id == theirs_id,
            )
        )
    return measurements[n_warm_up:]


async def timed_ours(ours: Ours, ids: list[int]) -> tuple[tuple[int, int], float]:
    """The answer and its milliseconds."""
    start_s = time.perf_counter()
    answer = await ours.next_token(ids)
    return answer, (time.perf_counter() - start_s) * 1e3


def timed(theirs: Transformers, ids: list[int]) -> tuple[int, float]:
    """The answer and its milliseconds."""
    start_s = time.perf_counter()
    answer = theirs.next_token(ids)
    return answer, (time.perf_counter() - start_s) * 1e3


def summarise(measurements: list[Measurement], *, model: str, threads: int, ours: str, theirs: str) -> Report:
    """Medians and 95th percentiles."""
    ours_ms = [each.ours_ms for each in measurements]
    theirs_ms = [each.transformers_ms for each in measurements]
    return Report(
        ours_ms=statistics.median(ours_ms),
        transformers_ms=statistics.median(theirs_ms),
        ratio=statistics.median(theirs_ms) / statistics.median(ours_ms),
        ours_p95_ms=percentile_95(ours_ms),
        transformers_p95_ms=percentile_95(theirs_ms),
        prompt_tokens=max(each.prompt_tokens for each in measurements),
        computed_tokens=statistics.median(each.computed_tokens for each in measurements),
        keystrokes=len(measurements),
        same_token=statistics.fmean(each.same_token for each in measurements),
        model=model,
        threads=threads,
        ours=ours,
        transformers=theirs,
    )


def percentile_95(values: list[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def describe(report: Report) -> str:
    """The report for people."""
    return (
        f"{report.model}, {report.threads} threads, prompts of up to {report.prompt_tokens} tokens, "
        f"{report.keystrokes} keystrokes\n"
        f"                                        median       p95\n"
        f"  ours ({report.ours}):".ljust(36)
        + f"{report.ours_ms:9.2f} ms {report.ours_p95_ms:9.2f} ms\n"
        + f"  transformers ({report.transformers}):".ljust(36)
        + f"{report.transformers_ms:9.2f} ms {report.transformers_p95_ms:9.2f} ms\n"
        f"  ratio {report.ratio:.1f}; ours computed {report.computed_tokens:g} tokens a keystroke (median); "
        f"same next token in {report.same_token:.0%}"
    )


def run(options: argparse.Namespace) -> Report:
    """Load both, replay the typing, compare."""
    folder = resolve(options.model).folder
    engine = load_engine(
        folder,
        device=options.device,
        quantize=options.quantize,
        options=EngineOptions(threads=options.threads),
    )
    max_prompt_tokens = min(options.prompt_tokens or engine.config.n_positions, engine.config.n_positions) - 1
    text = options.file.read_text(encoding="utf-8")
    prompts = [
        prompt_ids(keystroke, engine.tokenizer, max_prompt_tokens=max_prompt_tokens)
        for keystroke in typing_of(
            text, n_keystrokes=options.keystrokes + options.warm_up, start=options.start
        )
    ]
    dtype = getattr(torch, engine.description["dtype"] if options.dtype == "auto" else options.dtype)
    theirs = Transformers(folder, dtype=dtype, device=engine.description["device"])
    threads = int(engine.description["threads"])
    torch.set_num_threads(threads)

    async def both() -> list[Measurement]:
        ours = Ours(engine)
        try:
            return await measure(ours, theirs, prompts, n_warm_up=options.warm_up)
        finally:
            await ours.aclose()

    return summarise(
        asyncio.run(both()),
        model=options.model,
        threads=threads,
        ours=f"{engine.description['quantize']}, {engine.description['dtype']}",
        theirs=str(dtype).removeprefix("torch."),
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.keystroke", description=__doc__.split("\n")[0]
    )
    arguments.add_argument("--model", default="starter", help="a bundled name or a folder (default: starter)")
    arguments.add_argument("--file", type=Path, default=DEFAULT_FILE, help="the file that is typed")
    arguments.add_argument("--start", type=float, default=0.6, help="where in the file: 0 to 1 (default .6)")
    arguments.add_argument("--keystrokes", type=int, default=40)
    arguments.add_argument("--warm-up", type=int, default=3, help="keystrokes before those that count")
    arguments.add_argument("--prompt-tokens", type=int, help="at most so many (default: the model's context)")
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--quantize", default="auto", help="of ours: auto, none, int8 or int4")
    arguments.add_argument(
        "--dtype", default="auto", help="of transformers: auto (as ours), bfloat16, float32"
    )
    arguments.add_argument("--threads", type=int, help="of both (default: all)")
    arguments.add_argument("--json", action="store_true", help="print an object as the last line")
    return arguments


def main() -> int:
    """Run and print."""
    options = parser().parse_args()
    report = run(options)
    print(describe(report))
    if options.json:
        print(json.dumps(asdict(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
