"""A model beside the one that it would replace: held-out loss by language and infilling, and the verdict.

Losses are bits a byte of the same documents, so that models of different tokenizers can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from training.errors import EvaluationError


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How good a model is: bits a byte by language; infilling's exact match, 0 to 1, as in the editor."""

    name: str
    bits_per_byte: Mapping[str, float]
    exact_match: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`weights`: what a language counts for, as in a recipe; "*" is shared by the unnamed ones.

    Raises EvaluationError when there is nothing to compare.
    """

    before: Standing
    after: Standing
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if not sum(self._shares().values()):
            raise EvaluationError(
                f"no held-out language that both models were scored on has a weight in {dict(self.weights)}"
            )

    def mean_loss(self, one: Standing) -> float:
        """Bits a byte of all languages that both were scored on, by their weights."""
        shares = self._shares()
        return sum(one.bits_per_byte[name] * share for name, share in shares.items()) / sum(shares.values())

    def objections(self) -> list[str]:
        """Why the newer model is worse, in words; empty if it is not."""
        loss_before, loss_after = self.mean_loss(self.before), self.mean_loss(self.after)
        found = []
        if not loss_after <= loss_before:  # a loss that is no number is no better either
            found.append(f"held-out loss {loss_after:.3f} bits a byte, before {loss_before:.3f}")
        if self.after.exact_match < self.before.exact_match:
            now, before = 100 * self.after.exact_match, 100 * self.before.exact_match
            found.append(f"infilling {now:.1f} % exact, before {before:.1f} %")
        return found

    def table(self) -> Iterator[str]:
        """Lines of Markdown."""
        yield f"| | {self.before.name} | {self.after.name} | change |"
        yield "|---|---|---|---|"
        for language in self._shares():
            yield _row(language, self.before.bits_per_byte[language], self.after.bits_per_byte[language])
        yield _row("all, as they are weighted", self.mean_loss(self.before), self.mean_loss(self.after))
        before, after = 100 * self.before.exact_match, 100 * self.after.exact_match
        change = f"{after - before:+.1f} points"
        yield f"| single-line infilling, exact match | {before:.1f} % | {after:.1f} % | {change} |"

    def _shares(self) -> dict[str, float]:
        both = sorted(set(self.before.bits_per_byte) & set(self.after.bits_per_byte))
        unnamed = sum(name not in self.weights for name in both)
        rest = self.weights.get("*", 0.0) / max(1, unnamed)
        return {name: self.weights.get(name, rest) for name in both}


def _row(name: str, before: float, after: float) -> str:
    return f"| {name}, bits a byte | {before:.3f} | {after:.3f} | {100 * (after / before - 1):+.1f} % |"
