from __future__ import annotations

from pathlib import Path

import pytest

from training.errors import RecipeError
from training.recipe import ScheduleRecipe, bundled_recipes, load_recipe, recipe_from_dict
from training.schedule import lr_factor, progress


@pytest.mark.parametrize("name", bundled_recipes())
def test_bundled_recipes_are_sound(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.model.multi_query
    assert recipe.model.head_dim in (32, 64)


def test_the_starter_is_the_design() -> None:
    model = load_recipe("starter").model
    assert (model.vocab_size, model.n_embd, model.n_layer, model.n_head) == (16_384, 512, 10, 8)
    assert model.n_parameters / 1e6 == pytest.approx(35.8, abs=1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modell": {}}, "recipe.modell"),
        ({"model": {"n_embd": 30, "n_head": 4}}, "multiple of n_head"),
        ({"schedule": {}}, "exactly one"),
        ({"schedule": {"steps": 1, "minutes": 1}}, "exactly one"),
        ({"stages": [{"start": 0.5}]}, "stages start"),
        ({"stages": [{"seq_len": 9_999}]}, "9999"),
        ({"fim": {"rate": 2}}, "rate = 2"),
        ({"data": 3}, "recipe.data is 3"),
    ],
)
def test_a_bad_recipe_is_refused_by_name(values: dict[str, object], message: str) -> None:
    sound = {"name": "x", "model": {}, "schedule": {"steps": 1}}
    with pytest.raises(RecipeError, match=message):
        recipe_from_dict({**sound, **values})


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
