"""The README.md of a trained model: what it is, what it saw, how good it is, what it cannot do.

Everything in it comes from the run's own files and measurements that are handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.pytorch.quantize import Scheme
from training.compute.precision import flops_per_token
from training.data.packing import PackedCorpus
from training.jobs.comparison import Comparison
from training.jobs.export import Exported
from training.loop.run_log import read_log


@dataclass(frozen=True, kw_only=True)
class Measured:
    """`losses`: by language, as `training.jobs.runs.evaluate_loss` gives; `infilling`: one entry an order;
    `comparison`: with the model before, if there was one."""

    losses: Mapping[str, Mapping[str, float]]
    infilling: Sequence[Mapping[str, Any]]
    comparison: Comparison | None = None


def write_card(
    target: Path,
    name: str,
    exported: Exported,
    log: Path,
    corpus: PackedCorpus,
    notice: str,
    measured: Measured,
) -> None:
    """Write `target/README.md`. `notice` is the corpus's table of packages and licences (Markdown)."""
    sections = [
        _head(name),
        _what(name, exported),
        _quality(measured),
        *_beside_the_one_before(measured.comparison),
        _training(exported, log),
        _data(exported, corpus, notice),
    ]
    (target / "README.md").write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _head(name: str) -> str:
    front = ("license: apache-2.0", "library_name: transformers", "pipeline_tag: text-generation")
    return "\n".join(["---", *front, "---", "", f"# {name}"])


def _what(name: str, exported: Exported) -> str:
    config = exported.config
    family, n_special = config.family, len(config.family.special_tokens)
    heads = f"{config.n_head}, {'multi-query' if config.n_kv_head == 1 else 'multi-head'} attention"
    special = f"StarCoder's {n_special} special tokens at ids 0 to {n_special - 1}"
    return f"""A very small code completion model of the StarCoder architecture ({family.name}), trained from
nothing by this repository's `training/` on permissively licensed packages.

| | |
|---|---|
| parameters | {config.n_parameters:,} (token embedding tied to the output) |
| layers × hidden × heads | {config.n_layer} × {config.width} × {heads} |
| context | {config.n_positions:,} {config.positions} positions |
| vocabulary | {config.vocab_size:,}, byte-level BPE, {special} |
| weights | safetensors, {_readers(exported.scheme)} |

**What to expect.** It is here so that completions work out of the box on any machine, without a
download: it finishes words, names that are in sight, idiomatic lines and brackets. It does not
reason about code, often guesses wrong where more than the nearby lines matter, and may write code
that is wrong or unsafe: read what you accept. Larger models of the same family are used by naming
them. It was trained on English comments and mostly on Python; other languages than Python,
JavaScript and TypeScript it has barely seen. Use `starcoder-lsp` with the model `{name}`."""


def _readers(scheme: Scheme) -> str:
    if scheme is Scheme.INT8:
        return "int8 with a scale for each row, read by this repository's engine"
    return "bfloat16, read by this repository's engine and by transformers"


def _quality(measured: Measured) -> str:
    rows = [
        f"| {language} | {loss['nats_per_token']:.3f} | {loss['bits_per_byte']:.3f} | {loss['n_tokens']:,} |"
        for language, loss in measured.losses.items()
    ]
    lines = [_infilling(score) for score in measured.infilling]
    return (
        "## Measured\n\nHeld-out packages, none of which was trained on:\n\n"
        "| language | nats a token | bits a byte | tokens scored |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n\n"
        + "\n".join(lines)
        + "\n\nThe first two use the editor's prompts, where the model writes the line end before the hole "
        "again (token healing). Published scores of other models encode the parts as they are, as the last "
        "one does: only that one may be compared with them."
    )


def _beside_the_one_before(comparison: Comparison | None) -> list[str]:
    if comparison is None:
        return []
    table = "\n".join(comparison.table())
    return [f"## Beside the one before\n\nThe same held-out documents and problems for both:\n\n{table}"]


def _infilling(score: Mapping[str, Any]) -> str:
    prompts = str(score["order"]).upper() + ("" if score["healed"] else ", without token healing")
    return (
        f"- single-line infilling (HumanEval, {score['n_problems']:,} problems, greedy, {prompts}): "
        f"**exact match {100 * score['exact_match']:.1f} %** "
        f"({100 * score['exact_match_indented']:.1f} % with the indentation counted)"
    )


def _training(exported: Exported, log: Path) -> str:
    steps = [record for record in read_log(log) if record["kind"] == "step"]
    recipe, state = exported.recipe, exported.checkpoint.state
    last = steps[-max(1, len(steps) // 50) :]
    flops = sum(
        (b["tokens"] - a["tokens"]) * flops_per_token(recipe.model, b["seq_len"])
        for a, b in zip([{"tokens": 0}, *steps], steps, strict=False)
    )
    stages = ", ".join(f"{stage.seq_len:,} from {stage.start:.0%}" for stage in recipe.stages)
    return f"""## Training

Recipe `{recipe.name}`: {state.tokens / 1e6:.1f}M tokens in {state.step:,} steps, \
{state.elapsed_s / 60:.0f} minutes
({state.tokens / state.elapsed_s:,.0f} tokens/s on average, device {recipe.compute.device}, \
{recipe.compute.processes} process(es)), {flops:.2e} FLOP in all.
Muon (learning rate {recipe.optim.muon_lr:g}) for the matrices, \
AdamW ({recipe.optim.adamw_lr:g}) for the rest,
warm-up {recipe.schedule.warmup_steps} steps, linear decay over the last {recipe.schedule.decay_share:.0%};
sample length {stages} of the run. Fill-in-the-middle at load time: rate {recipe.fim.rate:g},
{recipe.fim.spm_rate:.0%} of it suffix first (SPM), the rest prefix first (PSM).
Training loss at the end: {sum(record["loss"] for record in last) / len(last):.3f} nats a token
(samples with fill-in-the-middle, mean of the last {len(last)} steps). The curve is in `loss.png`."""


def _data(exported: Exported, corpus: PackedCorpus, notice: str) -> str:
    total = sum(corpus.n_tokens(language) for language in corpus.shards)
    rows = []
    for language in sorted(corpus.shards, key=lambda name: -corpus.n_tokens(name)):
        documents = sum(shard.info.n_documents for shard in corpus.shards[language])
        size, tokens = corpus.text_bytes(language) / 1e6, corpus.n_tokens(language)
        rows.append(f"| {language} | {documents:,} | {size:.1f} | {tokens:,} |")
    shares = exported.recipe.data.weights.items()
    weights = ", ".join(f"{'the others' if name == '*' else name} {share:.0%}" for name, share in shares)
    seen = exported.checkpoint.state.tokens / total
    return f"""## Data

{total / 1e6:.1f}M tokens of source files from the packages below, cleaned, deduplicated and with personal
data replaced by `training/corpus`; HumanEval and MBPP problems are removed from it. Samples were drawn
with these shares of languages: {weights}, {seen:.2f} times the corpus's
size in all. The full texts of the licences are in `LICENSES.txt`,
the hash, path and licence of every document in `documents.jsonl.gz`; `portrait.bin` is a filter of their
fingerprints (docs/attribution.md). `DATASHEET.md` tells what was left out and why, `corpus.json` is the
manifest of sources, options and shards, by their hashes.

| language | files | MB | tokens |
|---|---|---|---|
{chr(10).join(rows)}

{notice.strip()}"""
