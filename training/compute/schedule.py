"""Progress of a run and the learning rate's factor at each point of it. Pure; no clock is read here.

Two shapes. Stable: warm-up by steps, then constant, then linear over the last `decay_share` (the
"warm-up, stable, decay" shape, arXiv 2405.18392), for runs whose length may still change. Cosine:
warm-up, then half a cosine to the end, as Megatron-LM does it and the paper did (arXiv 2305.06161, §5.4).
"""

from __future__ import annotations

import math

from training.recipe.tables import ScheduleRecipe


def progress(recipe: ScheduleRecipe, *, step: int, elapsed_s: float) -> float:
    """Share of the run that is done before this step, 0 to 1."""
    if recipe.steps is not None:
        return min(1.0, step / max(1, recipe.steps))
    assert recipe.minutes is not None
    return min(1.0, elapsed_s / (60 * recipe.minutes))


def lr_factor(recipe: ScheduleRecipe, *, step: int, done: float) -> float:
    """Factor of the peak learning rates at a step (from 0) and a progress (0 to 1)."""
    warmup = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    if warmup < 1:
        return warmup
    left = _cosine(recipe, step, done) if recipe.shape == "cosine" else _linear(recipe, done)
    return recipe.floor + (1 - recipe.floor) * left


def _linear(recipe: ScheduleRecipe, done: float) -> float:
    return min(1.0, (1 - done) / recipe.decay_share) if recipe.decay_share else 1.0


def _cosine(recipe: ScheduleRecipe, step: int, done: float) -> float:
    """1 at the end of the warm-up (of a run boxed by time, at its beginning), 0 at the run's end."""
    if recipe.steps is not None:
        decay_steps = max(1, recipe.steps - recipe.warmup_steps)
        done = min(1.0, max(0, step - recipe.warmup_steps) / decay_steps)
    return (1 + math.cos(math.pi * done)) / 2
