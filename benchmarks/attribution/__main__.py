"""Attribution: how fast an index is built, how large it is, how fast and how right its answers are.

    python -m benchmarks.attribution [SOURCES…] [--size 200] [--excerpts 500]
        [--elasticsearch auto|none|URL] [--out build/attribution] [--docs]

Without SOURCES, what this machine has is read (packages, headers, standard libraries): any folders,
archives or tables of source code do. Excerpts of twenty lines are cut from indexed files and asked
about verbatim, reformatted, with 30 % of their names changed and with one word in 20 edited; others
are cut from packages that are held out. Both stores answer, and so do SQLite FTS5 and a plain text
field of Elasticsearch, which is what a user would do without us.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attribution.errors import AttributionError
from attribution.match.attribute import SearchOptions
from attribution.source import SourceDocument
from benchmarks.attribution.corpus import Corpus, default_sources, read_corpus
from benchmarks.attribution.excerpts import CHANGES, Excerpt, changed, draw_excerpts
from benchmarks.attribution.growth import draw_growth
from benchmarks.attribution.measure import Built
from benchmarks.attribution.methods import Method, Ours, ask_all, build_ours
from benchmarks.attribution.peers import BestHit, Fts5, PlainElasticsearch, Search
from benchmarks.attribution.progress import say
from benchmarks.attribution.report import HELD_OUT, Figures, Report, write_report
from benchmarks.attribution.servers import Servers

# Parts of the whole corpus at which the growth is measured.
GROWTH = (0.125, 0.25, 0.5, 1.0)
# Excerpts to choose a peer's threshold with; others than those it is then measured with.
CALIBRATION = 100
# Trigrams need three times the text on the disk, and a second for an answer, of 200 MB.
TRIGRAM_MEGABYTES = 25


class Benchmark:
    """One run: the corpus, the excerpts, and what was measured so far."""

    def __init__(self, corpus: Corpus, excerpts: int, scratch: Path, seed: int) -> None:
        self.corpus = corpus
        self.report = Report.begun(corpus, excerpts)
        self._scratch = scratch
        self._count = excerpts
        self._dice = random.Random(seed)
        # The same for every method.
        self._planted = draw_excerpts(corpus.indexed, excerpts, self._dice)
        self._held_out = draw_excerpts(corpus.held_out, excerpts, self._dice)

    def grow(self, megabytes: float) -> None:
        """Build, and ask verbatim excerpts, at several sizes; then all there is to ask at the last."""
        for share in GROWTH:
            documents = self.corpus.first(share * megabytes)
            built = build_ours(documents, self._folder(f"{share}"))
            name = f"{built.megabytes:.3g} MB"
            method = Ours("embedded", self._folder(f"{share}"), documents)
            asked = ask_all(method, draw_excerpts(documents, self._count, self._dice), name)
            method.close()
            self.report.growth.append(Figures.of(name, built, {"verbatim": asked}))
            say(f"{name}: {built.mb_per_s:.1f} MB/s, p95 {asked.to_dict()['p95_ms']:.1f} ms")

    def ours(self, name: str, url: str, built: Built, question: SearchOptions | None = None) -> None:
        """Ask an index that was built."""
        documents = self.corpus.indexed
        method = Ours(name, url, documents, question) if question else Ours(name, url, documents)
        self._measure(method, built, self._planted)

    def embedded(self) -> None:
        """The index of the last step of `grow`, asked automatic and manual checks; and built on all cores."""
        url, built = self._folder(f"{GROWTH[-1]}"), self.report.growth[-1].built
        self.ours("embedded", url, built)
        self.ours("embedded, manual check", url, built, SearchOptions())
        all_cores = build_ours(self.corpus.indexed, self._folder("all-cores"), processes=0)
        self.report.all_cores_mb_per_s = all_cores.mb_per_s

    def elastic(self, server: str) -> None:
        """Our index on Elasticsearch."""
        url = f"{server}/benchmark"
        self.ours("Elasticsearch", url, build_ours(self.corpus.indexed, url))

    def peers(self, server: str | None) -> None:
        """Full-text search over the same documents."""
        documents = self.corpus.indexed
        self._peer(Fts5(self._scratch / "phrases.sqlite", trigrams=False), documents)
        few = self.corpus.first(TRIGRAM_MEGABYTES)
        self._peer(Fts5(self._scratch / "trigrams.sqlite", trigrams=True), few)
        if server is not None:
            self._peer(PlainElasticsearch(server, "plain-text"), documents)

    def _peer(self, search: Search, documents: Sequence[SourceDocument]) -> None:
        built = search.build(documents)
        method = BestHit(search, documents)
        method.calibrate(
            draw_excerpts(documents, CALIBRATION, self._dice),
            draw_excerpts(self.corpus.held_out, CALIBRATION, self._dice),
        )
        is_all = documents is self.corpus.indexed
        planted = self._planted if is_all else draw_excerpts(documents, self._count, self._dice)
        self._measure(method, built, planted)

    def _measure(self, method: Method, built: Built, planted: Sequence[Excerpt]) -> None:
        answers = {change: ask_all(method, changed(planted, change), change) for change in CHANGES}
        answers[HELD_OUT] = ask_all(method, self._held_out, HELD_OUT)
        method.close()
        figures = Figures.of(method.name, built, answers, in_process=method.in_process)
        self.report.methods.append(figures)
        say(figures.line())

    def _folder(self, name: str) -> str:
        return str(self._scratch / f"index-{name}")


def main() -> int:
    """Measure, write the report, and say where it is."""
    options = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="attribution-") as scratch:
            report = _run(options, Path(scratch))
    except (AttributionError, ValueError) as error:
        print(f"benchmarks.attribution: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(write_report(report, options.out, into_docs=options.docs))
    return 0


def _run(options: argparse.Namespace, scratch: Path) -> Report:
    sources = options.sources or default_sources()
    say(f"reading {options.size:g} MB from {', '.join(sources)}")
    benchmark = Benchmark(read_corpus(sources, options.size), options.excerpts, scratch, options.seed)
    benchmark.grow(options.size)
    benchmark.embedded()
    with Servers(options.elasticsearch) as server:
        if server.url is not None:
            benchmark.elastic(server.url)
        benchmark.report.without = server.why_not
        benchmark.peers(server.url)
    draw_growth(benchmark.report.growth, options.out)
    return benchmark.report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attribution", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("sources", nargs="*", help="folders, archives or tables (default: what is here)")
    parser.add_argument("--size", type=float, default=200.0, help="megabytes of source to index")
    parser.add_argument("--excerpts", type=int, default=500, help="checks of each kind")
    parser.add_argument(
        "--elasticsearch",
        default="auto",
        help="a server's URL (its index `benchmark` must not exist, and stays), `none`, or `auto`: our own",
    )
    parser.add_argument("--out", type=Path, default=Path("build/attribution"), help="folder for the report")
    parser.add_argument("--docs", action="store_true", help="also put tables and picture into docs/")
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
