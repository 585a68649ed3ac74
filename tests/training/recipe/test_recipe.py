from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.families.config import Dropout
from training.compute.schedule import lr_factor, progress
from training.errors import RecipeError
from training.recipe.recipe import bundled_recipes, load_recipe, recipe_from_dict
from training.recipe.tables import ScheduleRecipe, StageRecipe


@pytest.mark.parametrize("name", bundled_recipes())
def test_bundled_recipes_are_sound(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.model.n_kv_head == 1
    assert recipe.model.head_dim in (32, 64, 128)


@pytest.mark.parametrize("name", bundled_recipes())
def test_what_a_checkpoint_keeps_is_the_recipe(name: str) -> None:
    recipe = load_recipe(name)
    stored = json.loads(json.dumps(recipe.to_dict()))
    assert recipe_from_dict(stored) == recipe
    older = {key: value for key, value in stored["model"].items() if key != "model_type"}
    assert recipe_from_dict({**stored, "model": older}) == recipe, "from before there were families"


def test_the_starter_is_the_design() -> None:
    model = load_recipe("starter").model
    assert (model.vocab_size, model.width, model.n_layer, model.n_head) == (16_384, 512, 10, 8)
    assert model.n_parameters / 1e6 == pytest.approx(35.8, abs=1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modell": {}}, "recipe.modell"),
        ({"model": {"n_embd": 30, "n_head": 4}}, "multiple of n_head"),
        ({"model": {"hidden_size": 30}}, "recipe.model.hidden_size is not known: there are attn_pdrop"),
        ({"model": {"model_type": "mamba"}}, "model_type is 'mamba'"),
        ({"model": 3}, "recipe.model is 3: expected a table"),
        ({"schedule": {}}, "exactly one"),
        ({"schedule": {"steps": 1, "minutes": 1}}, "exactly one"),
        ({"stages": [{"start": 0.5}]}, "stages start"),
        ({"stages": [{"seq_len": 9_999}]}, "9999"),
        ({"fim": {"rate": 2}}, "rate = 2"),
        ({"data": 3}, "recipe.data is 3"),
        ({"optim": {"kind": "sgd"}}, "optim.kind = 'sgd'"),
        ({"compute": {"sharding": "ddp"}}, "compute.sharding = 'ddp'"),
        ({"schedule": {"steps": 1, "shape": "step"}}, "schedule.shape = 'step'"),
        ({"lora": {}}, "lora without a base"),
        ({"base": "starter", "lora": {}}, "kind = 'adamw'"),
        ({"base": "starter", "lora": {"rank": 0}}, "rank = 0"),
    ],
)
def test_a_bad_recipe_is_refused_by_name(values: dict[str, object], message: str) -> None:
    sound = {"name": "x", "model": {}, "schedule": {"steps": 1}}
    with pytest.raises(RecipeError, match=message):
        recipe_from_dict({**sound, **values})


def test_models_that_are_only_served_are_refused_by_name() -> None:
    table = {"model_type": "qwen2", "hidden_size": 64, "num_attention_heads": 4}
    with pytest.raises(RecipeError, match=r"Qwen2 models are served here, not trained: take GPTBigCode"):
        recipe_from_dict({"name": "x", "schedule": {"steps": 5}, "model": table})


def test_an_unknown_name_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="starter-cpu"):
        load_recipe("nothing")
    with pytest.raises(RecipeError, match="there is no recipe"):
        load_recipe(str(tmp_path / "a.toml"))
    (tmp_path / "b.toml").write_text("= 3")
    with pytest.raises(RecipeError, match=r"b\.toml"):
        load_recipe(str(tmp_path / "b.toml"))


def test_overrides_replace_one_value() -> None:
    recipe = load_recipe("smoke", {"optim.muon_lr": 0.5, "seed": 7})
    assert (recipe.optim.muon_lr, recipe.seed) == (0.5, 7)
    assert recipe.optim.adamw_lr == load_recipe("smoke").optim.adamw_lr


def test_learning_rate_warms_up_stays_and_decays() -> None:
    schedule = ScheduleRecipe(minutes=10, warmup_steps=4, decay_share=0.4)
    warm = [lr_factor(schedule, step=step, done=0.0) for step in range(5)]
    assert warm == [0.25, 0.5, 0.75, 1.0, 1.0]
    late = [lr_factor(schedule, step=100, done=done) for done in (0.5, 0.6, 0.8, 1.0)]
    assert late == pytest.approx([1.0, 1.0, 0.5, 0.0])
    assert progress(schedule, step=0, elapsed_s=150) == 0.25
    assert progress(ScheduleRecipe(steps=8), step=2, elapsed_s=1e9) == 0.25


# The paper's table 6 and its launch scripts: hidden, layers, heads, sequences a step, learning rate, steps.
PAPER = {
    "15b": (6_144, 40, 48, 512, 3e-4, 250_000),
    "7b": (4_096, 42, 32, 512, 3e-4, 250_000),
    "3b": (2_816, 36, 22, 256, 5e-4, 500_000),
    "1b": (2_048, 24, 16, 128, 4e-4, 1_000_000),
}


@pytest.mark.parametrize("size", PAPER)
def test_the_papers_recipes_have_its_numbers(size: str) -> None:
    recipe = load_recipe(f"starcoderbase-{size}")
    model, optim, (stage,) = recipe.model, recipe.optim, recipe.stages
    numbers = (model.width, model.n_layer, model.n_head, stage.batch, optim.adamw_lr, recipe.schedule.steps)
    assert numbers == PAPER[size]
    assert model.initializer_range == pytest.approx(model.width**-0.5, rel=3e-3)
    assert (model.vocab_size, model.n_positions, stage.seq_len) == (49_152, 8_192, 8_192)
    assert model.dropout == Dropout(attention=0.1, embedding=0.1, residual=0.1)
    assert (optim.weight_decay, optim.clip_norm) == (0.1, 1.0)
    assert (optim.kind, optim.adamw_betas, recipe.fim.rate) == ("adamw", (0.9, 0.95), 0.5)
    last = lr_factor(recipe.schedule, step=PAPER[size][-1], done=1.0)
    assert optim.adamw_lr * last == pytest.approx(PAPER[size][4] / 10)


def test_the_python_recipe_sees_as_many_tokens_as_the_papers() -> None:
    recipe = load_recipe("starcoder-python")
    assert recipe.schedule.steps is not None
    assert recipe.schedule.steps * recipe.stages[0].samples(512) * 8_192 / 1e9 == pytest.approx(
        35.7, abs=0.05
    )
    assert recipe.model == load_recipe("starcoderbase-15b").model


def test_a_cosine_falls_from_the_end_of_the_warm_up_to_its_floor() -> None:
    schedule = ScheduleRecipe(steps=110, warmup_steps=10, shape="cosine", floor=0.1)
    factors = [lr_factor(schedule, step=step, done=step / 110) for step in (4, 9, 10, 60, 110)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 0.55, 0.1])
    timed = ScheduleRecipe(minutes=1, warmup_steps=10, shape="cosine")
    assert lr_factor(timed, step=500, done=0.5) == pytest.approx(0.5)


def test_a_batch_is_shared_by_any_number_of_processes_that_divides_it() -> None:
    stage = StageRecipe(micro_batch=2, batch=16)
    assert [(stage.accumulated(n), stage.samples(n)) for n in (1, 2, 8)] == [(8, 16), (4, 16), (1, 16)]
    with pytest.raises(RecipeError, match="batch = 16 cannot be shared by 3 processes"):
        stage.accumulated(3)
