"""What was measured, as JSON and as Markdown tables; on request in docs/attribution.md."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.attribution.corpus import Corpus
from benchmarks.attribution.excerpts import CHANGES
from benchmarks.attribution.growth import PICTURE
from benchmarks.attribution.measure import Asked, Built
from benchmarks.machine import processor
from benchmarks.tables import put_section, table

HELD_OUT = "held out"
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "attribution.md"
# What stands between these lines of the page is the benchmark's.


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One method: its build, and its answers by what was done to the excerpts."""

    name: str
    built: Built
    answers: dict[str, dict[str, float]]
    in_process: bool = True

    @classmethod
    def of(cls, name: str, built: Built, answers: dict[str, Asked], *, in_process: bool = True) -> Figures:
        """From the timings of every check to their percentiles."""
        figures = {kind: asked.to_dict() for kind, asked in answers.items()}
        return cls(name=name, built=built, answers=figures, in_process=in_process)

    def line(self) -> str:
        """All in one line, while the others are still measured."""
        right = ", ".join(f"{kind} {self._right(kind)}" for kind in CHANGES)
        times = self.answers["verbatim"]
        return (
            f"{self.name}: right {right}; false of held-out {self.answers[HELD_OUT]['false']:.0f}; "
            f"p50 {times['p50_ms']:.1f} ms, p95 {times['p95_ms']:.1f} ms"
        )

    def _right(self, kind: str) -> str:
        return f"{self.answers[kind]['right'] / self.answers[kind]['checks']:.1%}".replace(".0%", "%")

    def build_row(self) -> list[str]:
        """Name, MB/s, MB/s a core, bytes per byte without and with the text."""
        built = self.built
        return [
            f"{self.name} ({built.megabytes:.3g} MB)",
            f"{built.mb_per_s:.1f}",
            _number(built.mb_per_cpu_s, ".1f"),
            _number(built.disk_without_text, ".3f"),
            _number(built.disk_with_text, ".3f"),
        ]

    def answer_row(self) -> list[str]:
        """Name, right answers to each kind, false ones, milliseconds."""
        false_planted = sum(self.answers[kind]["false"] for kind in CHANGES)
        return [
            self.name,
            *(self._right(kind) for kind in CHANGES),
            f"{self.answers[HELD_OUT]['false']:.0f} of {self.answers[HELD_OUT]['checks']:.0f}",
            f"{false_planted:.0f} of {sum(self.answers[kind]['checks'] for kind in CHANGES):.0f}",
            *(self._times(share) for share in ("p50", "p95")),
        ]

    def growth_row(self) -> list[str]:
        """Megabytes, seconds of the build, milliseconds of a check."""
        return [self.name, f"{self.built.wall_s:.1f}", self._times("p50"), self._times("p95")]

    def _times(self, share: str) -> str:
        times = self.answers["verbatim"]
        cpu = f" ({times[f'{share}_cpu_ms']:.1f})" if self.in_process else ""
        return f"{times[f'{share}_ms']:.1f}{cpu}"


@dataclass(kw_only=True)
class Report:
    """A whole run."""

    machine: dict[str, object]
    corpus: dict[str, object]
    growth: list[Figures] = field(default_factory=list)
    methods: list[Figures] = field(default_factory=list)
    all_cores_mb_per_s: float | None = None
    without: str | None = None

    @classmethod
    def begun(cls, corpus: Corpus, excerpts: int) -> Report:
        """A report of nothing yet but where and on what."""
        return cls(
            machine={
                "processor": processor(),
                "cores": os.cpu_count(),
                "load": os.getloadavg()[0],
                "python": platform.python_version(),
            },
            corpus={
                "sources": corpus.sources,
                "files": len(corpus.indexed),
                "megabytes": sum(len(document.text) for document in corpus.indexed) / 1e6,
                "held_out_files": len(corpus.held_out),
                "excerpts": excerpts,
            },
        )

    def markdown(self) -> str:
        """The tables, with what they were measured on."""
        machine, corpus = self.machine, self.corpus
        lines = [
            f"{corpus['megabytes']:.3g} MB of source in {corpus['files']:,} files, {corpus['excerpts']} "
            f"excerpts of each kind; {machine['processor']}, {machine['cores']} cores, "
            f"Python {machine['python']}, load {machine['load']:.1f} at the start. In brackets: by the "
            "processor, not by the clock.",
            "",
            *table(["build", "MB/s", "MB/s a core", "bytes per byte, no text", "with text"], self._builds()),
            "",
            *table(
                ["right", *CHANGES, "false, held out", "false, planted", "p50 ms", "p95 ms"],
                [one.answer_row() for one in self.methods],
            ),
            "",
            *table(
                ["growth", "build s", "p50 ms", "p95 ms"],
                [one.growth_row() for one in self.growth],
            ),
        ]
        if self.all_cores_mb_per_s is not None:
            lines += ["", f"Built on all cores: {self.all_cores_mb_per_s:.1f} MB/s by the clock."]
        if self.without is not None:
            lines += ["", f"Without Elasticsearch: {self.without}."]
        return "\n".join(lines) + "\n"

    def _builds(self) -> list[list[str]]:
        # The manual check asks the same index.
        return [one.build_row() for one in self.methods if "manual" not in one.name]


def write_report(report: Report, folder: Path, *, into_docs: bool) -> str:
    """Write attribution.json and attribution.md into the folder; the Markdown."""
    markdown = report.markdown()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attribution.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    (folder / "attribution.md").write_text(markdown, encoding="utf-8")
    if into_docs:
        put_section(PAGE, "benchmark", markdown)
        shutil.copyfile(folder / PICTURE, DOCS / PICTURE)
    return markdown


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
