"""Rotary positions (arXiv 2104.09864): how far each pair of a head's features is turned at a position.

Owns the description, its spelling in a config.json (transformers' `rope_parameters`, formerly `rope_theta`
and `rope_scaling`) and the angles. Which features make a pair is whoever's that turns them.

Shapes: P positions, R features of a head that are rotated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from model.errors import ConfigError

if TYPE_CHECKING:  # language servers read configurations, and load no NumPy
    import numpy as np
    from numpy.typing import NDArray

Frequencies = Sequence[float]


@dataclass(frozen=True, kw_only=True)
class LinearScaling:
    """Positions closer together by a factor (arXiv 2306.15595)."""

    factor: float

    def scaled(self, frequencies: Frequencies, theta: float) -> Frequencies:
        """frequencies [R / 2] -> [R / 2]."""
        del theta
        return [frequency / self.factor for frequency in frequencies]


@dataclass(frozen=True, kw_only=True)
class Llama3Scaling:
    """Slow turns slower by a factor, quick ones as they are, a ramp between them (Llama 3.1)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int

    def scaled(self, frequencies: Frequencies, theta: float) -> Frequencies:
        """frequencies [R / 2] -> [R / 2]."""
        del theta
        turns = [self.original_max_position_embeddings * one / (2 * math.pi) for one in frequencies]
        width = self.high_freq_factor - self.low_freq_factor
        ramp = [(one - self.low_freq_factor) / width for one in turns]
        return _mixed([one / self.factor for one in frequencies], frequencies, ramp)


@dataclass(frozen=True, kw_only=True)
class YarnScaling:
    """The same with a ramp over the features, and longer queries and keys (arXiv 2309.00071)."""

    factor: float
    original_max_position_embeddings: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None

    def scaled(self, frequencies: Frequencies, theta: float) -> Frequencies:
        """frequencies [R / 2] -> [R / 2]."""
        dim = 2 * len(frequencies)

        def feature(turns: float) -> float:
            """The feature that turns so often over the original context."""
            length = self.original_max_position_embeddings / (2 * math.pi * turns)
            return dim * math.log(length) / (2 * math.log(theta))

        low = max(math.floor(feature(self.beta_fast)), 0)
        high = min(math.ceil(feature(self.beta_slow)), dim - 1)
        ramp = [(one - low) / max(high - low, 1e-3) for one in range(len(frequencies))]
        return _mixed(frequencies, [one / self.factor for one in frequencies], ramp)

    @property
    def length(self) -> float:
        """What queries and keys are multiplied with."""
        if self.attention_factor is not None:
            return self.attention_factor
        return 0.1 * math.log(self.factor) + 1 if self.factor > 1 else 1.0


# By what config.json calls them. "dynamic" begins beyond the model's own context, which is never left here.
_SCALINGS: Mapping[str, type[LinearScaling | Llama3Scaling | YarnScaling]] = {
    "linear": LinearScaling,
    "llama3": Llama3Scaling,
    "yarn": YarnScaling,
}
_UNSCALED = ("default", "dynamic")
_BLOCK = 256
# Keys that change nothing here; any other one that is not known might.
_PASSED_OVER = {"rope_theta", "rope_type", "type"}


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """The turns of one model."""

    dim: int
    """Features of a head that are rotated."""
    theta: float
    scaling: LinearScaling | Llama3Scaling | YarnScaling | None = None

    def angles(self, n_positions: int) -> NDArray[np.float32]:
        """Cosines and sines fp32 [P, 2, R / 2]."""
        import numpy as np

        # A turn is one by a multiple of _BLOCK positions, then one by the rest: few sines are computed.
        frequencies = np.array(self._frequencies())
        near = np.exp(1j * np.arange(_BLOCK)[:, None] * frequencies)  # [_BLOCK, R / 2]
        starts = np.arange(0, n_positions, _BLOCK)[:, None]
        far = np.exp(1j * starts * frequencies)[:, None]  # [P / _BLOCK, 1, R / 2]
        length = self.scaling.length if isinstance(self.scaling, YarnScaling) else 1.0
        turned = far * near * length
        angles = np.empty((len(starts), _BLOCK, 2, len(frequencies)), np.float32)
        angles[:, :, 0], angles[:, :, 1] = turned.real, turned.imag
        return angles.reshape(-1, 2, len(frequencies))[:n_positions]

    def turn(self, by: int) -> NDArray[np.float32]:
        """Cosines and sines fp32 [2, R / 2] that bring what was turned already `by` positions further on."""
        import numpy as np

        turned = by * np.array(self._frequencies())
        return np.stack([np.cos(turned), np.sin(turned)]).astype(np.float32)

    def _frequencies(self) -> Frequencies:
        """[R / 2]"""
        frequencies = [self.theta ** (-one / self.dim) for one in range(0, self.dim, 2)]
        return frequencies if self.scaling is None else self.scaling.scaled(frequencies, self.theta)


def read_rotary(values: Mapping[str, Any], *, dim: int, theta: float) -> Rotary:
    """The turns in a config.json's object; `theta` where it says none. Raises `ConfigError`."""
    found = values.get("rope_parameters") or {
        "rope_theta": values.get("rope_theta"),
        **(values.get("rope_scaling") or {}),
    }
    if not isinstance(found, Mapping):
        raise ConfigError(f"rope_parameters = {found!r}: expected an object")
    given = {key: value for key, value in found.items() if value is not None}
    theta = _number("rope_theta", given.get("rope_theta", theta))
    return Rotary(dim=dim, theta=theta, scaling=_scaling(given, values.get("max_position_embeddings")))


def write_rotary(rotary: Rotary) -> dict[str, Any]:
    """The inverse, in the spelling that every version of transformers reads."""
    scaling = rotary.scaling
    if scaling is None:
        return {"rope_theta": rotary.theta, "rope_scaling": None}
    name = next(name for name, kind in _SCALINGS.items() if isinstance(scaling, kind))
    return {"rope_theta": rotary.theta, "rope_scaling": {"rope_type": name, **asdict(scaling)}}


def _scaling(
    given: Mapping[str, Any], n_positions: object
) -> LinearScaling | Llama3Scaling | YarnScaling | None:
    name = given.get("rope_type", given.get("type", "default"))
    if name in _UNSCALED:
        return None
    if not isinstance(name, str) or name not in _SCALINGS:
        raise ConfigError(
            f"rope_type = {name!r}: only {', '.join((*_UNSCALED, *_SCALINGS))} are computed here"
        )
    kind = _SCALINGS[name]
    fields = kind.__dataclass_fields__
    if unknown := sorted(set(given) - set(fields) - _PASSED_OVER):
        raise ConfigError(
            f"{unknown[0]} = {given[unknown[0]]!r} is not known for rotary positions of type {name}"
        )
    numbers = {key: _number(key, value) for key, value in given.items() if key in fields}
    if "original_max_position_embeddings" in fields:
        numbers.setdefault(
            "original_max_position_embeddings", _number("max_position_embeddings", n_positions)
        )
    try:
        return kind(**numbers)  # type: ignore[arg-type]  # whole positions as floats compute the same
    except TypeError as error:
        raise ConfigError(f"rotary positions of type {name}: {error}") from error


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ConfigError(f"{key} = {value!r}: expected a number above 0")
    return value


def _mixed(of_zero: Frequencies, of_one: Frequencies, ramp: Frequencies) -> Frequencies:
    """The one where the ramp is below 0, the other where it is above 1."""
    parts = (min(max(one, 0.0), 1.0) for one in ramp)
    return [a * (1 - part) + b * part for a, b, part in zip(of_zero, of_one, parts, strict=True)]
