from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.training.own_repository import CONFIG, base_model, repository
from training.recipe.tables import StageRecipe


def test_both_begin_with_the_same_loss_and_are_timed(tmp_path: Path) -> None:
    # Here, as transformers' Trainer takes seconds to import, which every process of the tests would spend.
    from benchmarks.training.__main__ import parser, recipe_of, run
    from benchmarks.training.contenders import OURS, THEIRS
    from benchmarks.training.report import describe

    options = parser().parse_args(["--fp32"])
    stage = StageRecipe(seq_len=64, micro_batch=2, accumulate=2)
    recipe = replace(recipe_of(options), model=CONFIG, stages=(stage,))
    base, source = base_model(tmp_path / "base"), repository(tmp_path / "code")
    report = run(recipe, source, base, steps=2, warm_up=1, compiled=False)
    assert set(report.contenders) == {OURS, THEIRS}
    ours, theirs = (report.contenders[name] for name in (OURS, THEIRS))
    assert ours.first_loss == pytest.approx(theirs.first_loss, rel=1e-5)
    assert theirs.ratio == theirs.best_ratio == 1.0
    assert (report.steps, report.batch, report.seq_len) == (2, 4, 64)
    assert report.packing_tokens_per_s > 0
    assert json.dumps(asdict(report))
    assert len(list(describe(report))) == 2 + 2 + 1
