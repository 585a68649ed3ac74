"""The datasheet of a corpus: what is in it, what was left out and why, as Markdown with pictures.

The order of its sections follows "Datasheets for Datasets" (arXiv 1803.09010). Nothing in it
depends on when or where it was made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attribution.sources.manifest import Split
from training.corpus.records.report import CorpusReport
from training.corpus.records.shards import read_documents, slug

if TYPE_CHECKING:
    from training.corpus.stages.workspace import CorpusPlan

DATASHEET_FILE = "DATASHEET.md"
PICTURES = "datasheet"
_SAMPLE_CHARS = 1_000_000
_SHARD_SAMPLE_CHARS = 250_000
_ROWS = 25


def write_datasheet(folder: Path, plan: CorpusPlan, report: CorpusReport) -> None:
    """Write DATASHEET.md and its pictures into a corpus' folder."""
    from training.corpus.stages.pictures import draw_bars, draw_clusters

    tokens = estimated_tokens(folder / "train", report, plan.tokenizer)
    pictures = folder / PICTURES
    pictures.mkdir()
    drops = {reason.value: size for reason, size in report.dropped_bytes.items()}
    draw_bars(tokens, pictures / "tokens.png", title="training text", label="million tokens", unit=1e6)
    draw_bars(drops, pictures / "drops.png", title="dropped, by reason", label="MB", unit=1e6)
    draw_bars(report.license_bytes, pictures / "licences.png", title="licences", label="MB", unit=1e6)
    draw_clusters(report.clusters, pictures / "duplicates.png")
    lines = list(_sections(plan, report, tokens))
    (folder / DATASHEET_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def estimated_tokens(folder: Path, report: CorpusReport, tokenizer: Path | None) -> dict[str, int]:
    """Tokens of each language's training text, from a sample of its characters per token.

    `tokenizer` is a folder with tokenizer.json; None takes the bundled model's.
    """
    ratios = bytes_per_token(folder, tokenizer)
    return {
        language: round(report.total_bytes(Split.TRAIN, language) / ratios[slug(language)])
        for (split, language), size in report.kept_bytes.most_common()
        if split is Split.TRAIN and size
    }


def bytes_per_token(folder: Path, tokenizer: Path | None) -> dict[str, float]:
    """Bytes per token by language's slug, of the first documents of its shards."""
    from tokenizers import Tokenizer

    import model

    place = tokenizer or Path(str(model.__file__)).with_name("starter")
    encoding = Tokenizer.from_file(str(place / "tokenizer.json"))
    size: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for shard in sorted(folder.glob("*.jsonl.gz")):
        language = shard.name.rpartition("-")[0]
        taken = 0
        for document in read_documents(shard):
            if taken >= _SHARD_SAMPLE_CHARS or size[language] >= _SAMPLE_CHARS:
                break
            taken += len(document.text)
            size[language] += len(document.text.encode())
            tokens[language] += len(encoding.encode(document.text, add_special_tokens=False).ids)
    return {language: count / max(1, tokens[language]) for language, count in size.items()}


def _sections(plan: CorpusPlan, report: CorpusReport, tokens: Mapping[str, int]) -> Iterator[str]:
    yield f"# Datasheet of the corpus `{plan.name}`"
    yield from ("", "## Motivation", "")
    yield "Source code to train a model of the StarCoder family on, curated by the rules of arXiv 2305.06161."
    yield from ("", "## Composition", "", *_composition(report, tokens))
    yield from ("", "## Collection", "", f"From {len(plan.units)} sources:", "")
    yield from _limited([f"- {name}" for name in plan.sources])
    yield from ("", "## What was left out", "", *_drops(report))
    yield from ("", "## Duplicates", "", *_duplicates(report))
    yield from ("", "## Licences", "", *_licences(report))
    yield from ("", "## Personal data", "", *_personal_data(plan, report))
    yield from ("", "## Evaluation problems", "", *_contaminants(plan, report))
    yield from ("", "## Uses, distribution, maintenance", "", *_uses(plan))


def _composition(report: CorpusReport, tokens: Mapping[str, int]) -> Iterator[str]:
    files: Counter[Split] = Counter()
    for (split, _), count in report.kept_files.items():
        files[split] += count
    yield (
        f"{files[Split.TRAIN]:,} documents for training, {_mb(report.total_bytes(Split.TRAIN))}, about "
        f"{sum(tokens.values()) / 1e6:,.1f} million tokens (estimated from a sample); "
        f"{files[Split.HELD_OUT]:,} held out, {_mb(report.total_bytes(Split.HELD_OUT))}."
    )
    yield from ("", f"![tokens by language]({PICTURES}/tokens.png)", "")
    yield from ("| language | documents | text | tokens, about | held out |", "|---|--:|--:|--:|--:|")
    for language, count in tokens.items():
        yield (
            f"| {language} | {report.kept_files[Split.TRAIN, language]:,} | "
            f"{_mb(report.total_bytes(Split.TRAIN, language))} | {count:,} | "
            f"{_mb(report.total_bytes(Split.HELD_OUT, language))} |"
        )


def _drops(report: CorpusReport) -> Iterator[str]:
    kept = sum(report.kept_files.values())
    yield f"Of {report.read_files:,} files read ({_mb(report.read_bytes)}) {kept:,} are kept."
    yield from ("", f"![drops by reason]({PICTURES}/drops.png)", "")
    yield from ("| reason | files | bytes |", "|---|--:|--:|")
    for reason, files in report.dropped_files.most_common():
        yield f"| {reason.value} | {files:,} | {_mb(report.dropped_bytes[reason])} |"


def _duplicates(report: CorpusReport) -> Iterator[str]:
    if not report.clusters:
        yield "No document resembles another one."
        return
    clusters, largest = sum(report.clusters.values()), max(report.clusters)
    yield (
        f"{clusters:,} groups of equal or similar documents, the largest of {largest:,}; one of each stays. "
        "Near duplicates share 70 % of their 5-grams of words (MinHash, 256 permutations)."
    )
    yield from ("", f"![sizes of groups of duplicates]({PICTURES}/duplicates.png)")


def _licences(report: CorpusReport) -> Iterator[str]:
    yield "By the file's own header, else its package or repository; texts are in LICENSES.txt."
    yield from ("", f"![licences]({PICTURES}/licences.png)", "", "| licence | text |", "|---|--:|")
    yield from _limited([f"| {name} | {_mb(size)} |" for name, size in report.license_bytes.most_common()])


def _personal_data(plan: CorpusPlan, report: CorpusReport) -> Iterator[str]:
    if not plan.options.redact_pii and plan.options.ner is None:
        yield "Not looked for."
        return
    names = ", ".join(f"{count:,} of kind {kind}" for kind, count in report.redacted.most_common()) or "none"
    yield f"Replaced in {report.redacted_files:,} documents: {names}."
    if plan.options.ner is None:
        yield "Names were not looked for; rules find no name."


def _contaminants(plan: CorpusPlan, report: CorpusReport) -> Iterator[str]:
    if not plan.options.decontaminate:
        yield "Not looked for: no file of problems was given."
        return
    files = ", ".join(Path(name).name for name in plan.options.decontaminate)
    yield f"Documents that hold a text, solution or test of {files} were left out. What was found most often:"
    yield ""
    found = [f"- {count} × `{_one_line(text)}`" for text, count in report.contaminants.most_common(10)]
    yield from found or ["- nothing"]


def _uses(plan: CorpusPlan) -> Iterator[str]:
    yield (
        "For training and for attribution: `documents.jsonl.gz` lists the SHA-256 of every document's text, "
        "`corpus.json` that of every shard, so that an index of exactly this corpus can be told from others. "
        "Each document keeps its own licence, which asks for attribution in most cases."
    )
    lists = len(plan.options.opt_out)
    yield ""
    yield (
        f"Opt-out lists applied: {lists}. Whoever wants code removed is put on such a list; a build with it "
        "leaves out the owner or the repository."
    )


def _limited(rows: Sequence[str]) -> list[str]:
    if len(rows) <= _ROWS:
        return list(rows)
    last = "| … |" if rows[0].startswith("|") else f"- … and {len(rows) - _ROWS:,} more"
    return [*rows[:_ROWS], last]


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:,.1f} kB"


def _one_line(text: str) -> str:
    return " ".join(text.replace("`", "'").split())
