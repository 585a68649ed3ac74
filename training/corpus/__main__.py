"""`python -m training.corpus fetch|build|notice MANIFEST`: the corpus without the whole application."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.corpus.build import BuildOptions, build_corpus
from training.corpus.errors import CorpusError
from training.corpus.fetch import default_cache_dir, fetch_manifest
from training.corpus.licences import notice_markdown
from training.corpus.manifest import Manifest, Package, Split


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (1: the message is on stderr)."""
    options = _parser().parse_args(arguments)
    try:
        manifest = Manifest.load(options.manifest)
        if options.command == "notice":
            print(
                notice_markdown(manifest.packages, title=f"Packages of the corpus '{manifest.name}'"), end=""
            )
            return 0
        fetch_manifest(manifest, options.cache, _progress("fetched"))
        if options.command == "build":
            _build(manifest, options)
    except CorpusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: what was fetched before is kept, nothing is half-written", file=sys.stderr)
        return 130
    return 0


def _build(manifest: Manifest, options: argparse.Namespace) -> None:
    report = build_corpus(
        manifest,
        options.cache,
        options.into,
        decontaminate=options.decontaminate,
        options=BuildOptions(near_dedup=not options.keep_near_duplicates),
        progress=_progress("read"),
    )
    for split in Split:
        print(f"{split}: {report.total_bytes(split) / 1e6:.1f} MB of text")
    for reason, files in report.dropped_files.most_common():
        print(f"  dropped {files:>6} files, {report.dropped_bytes[reason] / 1e6:8.1f} MB: {reason}")


def _progress(verb: str) -> _Printer:
    return _Printer(verb)


class _Printer:
    def __init__(self, verb: str) -> None:
        self._verb = verb

    def __call__(self, package: Package, done: int, total: int) -> None:
        print(f"[{done}/{total}] {self._verb} {package.identity}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.corpus", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (
        ("fetch", "fetch and verify the pinned files"),
        ("build", "fetch what is missing, then filter and write the corpus"),
        ("notice", "print the list of packages and licences as Markdown"),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("manifest", type=Path)
        command.add_argument(
            "--cache", type=Path, default=default_cache_dir(), help="where fetched files are kept"
        )
        if name == "build":
            command.add_argument("--into", type=Path, required=True, help="the corpus folder to write")
            command.add_argument(
                "--decontaminate", type=Path, nargs="*", default=[], help="JSONL files of evaluation problems"
            )
            command.add_argument("--keep-near-duplicates", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
