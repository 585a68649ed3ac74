"""What it costs to keep a suffix that was computed behind an older prefix: HumanEval's single lines.

Each problem is asked twice: exactly, and with the suffix kept from a prompt that has fewer lines before the
hole, as if they had just been typed. Counted are lines that are right, white space around them aside.
Problems are evenly spread, and those whose answers stand in the file of results are not asked again.

    python -m benchmarks.kept_suffix MODEL PROBLEMS.jsonl.gz [--count 1033] [--lines 2] [--results FILE]

PROBLEMS.jsonl.gz is `HumanEval-SingleLineInfilling.jsonl.gz` of openai/human-eval-infilling.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from model.engine.engine import Engine, EngineOptions
from model.engine.generation import GenerationRequest
from model.prompt.fim import build_prompt
from model.prompt.fim_format import FimOrder
from model.runner.sampling import SamplingParams
from model.start.load import load_engine
from model.stopping.stopping import StopRules

_MAX_NEW_TOKENS = 64
_MAX_PROMPT_TOKENS = 4_096
# Coprime to the number of problems, so that any first part of them is spread evenly.
_STRIDE = 619


class Asker:
    """Asks one engine for missing lines."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._fim = engine.config.family.fim_format(engine.tokenizer.special_ids)

    def answers(self, prefix: str, suffix: str, n_lines: int) -> tuple[str, str]:
        """The missing line by the exact prompt, and with a suffix that is `n_lines` behind."""
        lines = prefix.splitlines(keepends=True)
        self._engine.forget()
        self._line("".join(lines[:-n_lines]), suffix, max_new_tokens=1)
        kept = self._line(prefix, suffix, keeps=True)
        return self._line(prefix, suffix), kept

    def _line(
        self, prefix: str, suffix: str, *, keeps: bool = False, max_new_tokens: int = _MAX_NEW_TOKENS
    ) -> str:
        prompt = build_prompt(
            self._engine.tokenizer,
            self._fim,
            prefix=prefix,
            suffix=suffix,
            order=FimOrder.PSM,
            max_prompt_tokens=_MAX_PROMPT_TOKENS,
        )
        self._engine.submit(
            GenerationRequest(
                prompt_ids=prompt.token_ids,
                healed=prompt.healed,
                suffix=prompt.suffix,
                keeps_suffix=keeps,
                sampling=SamplingParams(max_new_tokens=max_new_tokens),
                stop=StopRules(stop=("\n",)),
            )
        )
        text = ""
        while self._engine.busy:
            text += "".join(delta.text for _, delta in self._engine.step())
        return text

    @property
    def moved_tokens(self) -> int:
        """Tokens that were kept so far."""
        return self._engine.stats().moved_tokens


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it and print the shares."""
    parser = argparse.ArgumentParser(description="Right lines with an exact and with a kept suffix.")
    parser.add_argument("model", type=Path)
    parser.add_argument("problems", type=Path)
    parser.add_argument("--count", type=int, default=1_033)
    parser.add_argument("--lines", type=int, default=2, help="typed since the suffix was computed")
    parser.add_argument("--results", type=Path, help="JSON lines, one for each problem")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    with gzip.open(options.problems, "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    records = [records[number * _STRIDE % len(records)] for number in range(min(options.count, len(records)))]
    done = _read(options.results)
    missing = [record for record in records if record["task_id"] not in done]
    if missing:
        os.nice(5)  # it takes minutes, and measures no time
        asker = Asker(load_engine(options.model, options=EngineOptions(threads=options.threads)))
        for result in _ask(asker, missing, options.lines):
            done[result["task_id"]] = result
            if options.results is not None:
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
    _show([done[record["task_id"]] for record in records])


def _read(results: Path | None) -> dict[str, Any]:
    if results is None or not results.exists():
        return {}
    lines = results.read_text(encoding="utf-8").splitlines()
    return {result["task_id"]: result for result in map(json.loads, lines)}


def _ask(asker: Asker, records: Sequence[Mapping[str, str]], n_lines: int) -> Iterator[dict[str, Any]]:
    for record in track(records, console=Console(stderr=True)):
        before = asker.moved_tokens
        exact, kept = asker.answers(record["prompt"], record["suffix"], n_lines)
        yield {
            "task_id": record["task_id"],
            "wanted": record["canonical_solution"],
            "exact": exact,
            "kept": kept,
            "moved_tokens": asker.moved_tokens - before,
        }


def _show(results: Sequence[Mapping[str, Any]]) -> None:
    moved = [result for result in results if result["moved_tokens"]]
    for name, some in (("all", results), ("those with a suffix worth keeping", moved)):
        right = {how: sum(_is_right(result, how) for result in some) for how in ("exact", "kept")}
        same = sum(result["exact"] == result["kept"] for result in some)
        n = max(len(some), 1)
        print(
            f"{name}: {len(some)} problems; right: exact {right['exact']} ({right['exact'] / n:.3f}), "
            f"kept {right['kept']} ({right['kept'] / n:.3f}); the same text {same}"
        )


def _is_right(result: Mapping[str, str], how: str) -> bool:
    return result[how].strip() == result["wanted"].strip()


if __name__ == "__main__":
    main()
