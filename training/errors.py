"""The exception tree of training runs: every message names the value and the remedy."""

from __future__ import annotations


class TrainingError(Exception):
    """Base of everything that packing, training, evaluation and export raise on bad input."""


class RecipeError(TrainingError):
    """A recipe that is missing, malformed or asks for something impossible."""


class PackingError(TrainingError):
    """Documents or packed shards that are missing, foreign or do not fit the tokenizer."""


class ResumeError(TrainingError):
    """A run folder whose checkpoint cannot be continued by this recipe."""


class DivergedError(TrainingError):
    """The loss became NaN or infinite."""


class EvaluationError(TrainingError):
    """Problems or a model that cannot be evaluated."""
