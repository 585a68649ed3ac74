"""The README.md of a fine-tuned model: what it is made of, under which licence, and what it gained."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.weights.hub import ResolvedModel
from training.jobs.export import Exported


@dataclass(frozen=True, kw_only=True)
class HeldOutLoss:
    """Loss on one language's held-out files, in nats a token, before and after."""

    language: str
    n_tokens: int
    before: float
    after: float


def write_finetuned_card(
    target: Path, name: str, exported: Exported, base: ResolvedModel, losses: Sequence[HeldOutLoss]
) -> None:
    """Write `target/README.md` and copy the base's licence files: its terms hold for what is made of it."""
    for file in sorted([*base.folder.glob("LICENSE*"), *base.folder.glob("LICENCE*")]):
        shutil.copyfile(file, target / file.name)
    front = [f"license: {base.license}"] if base.license is not None else []
    lines = ["---", *front, f"base_model: {base.name}", "---", "", f"# {name}", "", _made(exported, base), ""]
    lines += ["| held-out files | tokens | before | after |", "|---|---|---|---|"]
    lines += [f"| {one.language} | {one.n_tokens:,} | {one.before:.3f} | {one.after:.3f} |" for one in losses]
    lines += ["", "Loss in nats a token, on files that were left out of the training."]
    (target / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _made(exported: Exported, base: ResolvedModel) -> str:
    recipe, state = exported.recipe, exported.checkpoint.state
    how = "all weights" if recipe.lora is None else f"adapters of rank {recipe.lora.rank}, merged"
    licence = base.license or "unknown: ask its authors before you pass this model on"
    return (
        f"`{base.name}` fine-tuned by starcoder-lsp (recipe `{recipe.name}`, {how}): {state.step:,} steps, "
        f"{state.tokens / 1e6:.2f}M tokens. The code that it learnt may come back in its completions. "
        f"Licence of the base: {licence}."
    )
