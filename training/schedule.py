"""Progress of a run and the learning rate's factor at each point of it. Pure; no clock is read here.

Warm-up by steps, then constant, then linear to zero over the last `decay_share` (the
"warm-up, stable, decay" shape, arXiv 2405.18392): a run boxed by time needs no number of steps.
"""

from __future__ import annotations

from training.recipe import ScheduleRecipe


def progress(recipe: ScheduleRecipe, *, step: int, elapsed_s: float) -> float:
    """Share of the run that is done before this step, 0 to 1."""
    if recipe.steps is not None:
        return min(1.0, step / max(1, recipe.steps))
    assert recipe.minutes is not None
    return min(1.0, elapsed_s / (60 * recipe.minutes))


def lr_factor(recipe: ScheduleRecipe, *, step: int, done: float) -> float:
    """Factor of the peak learning rates at a step (from 0) and a progress (0 to 1)."""
    warmup = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    decay = min(1.0, (1 - done) / recipe.decay_share) if recipe.decay_share else 1.0
    return warmup * decay
