"""`python -I -m training.corpus fetch|notice|gibberish|score-pii`: the corpus' smaller tools by themselves.

A corpus is built by `starcoder-lsp train corpus`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from attribution.sources.manifest import Package
from training.corpus.errors import CorpusError
from training.corpus.records.fetch import default_cache_dir, fetch_manifest
from training.corpus.records.licences import notice_markdown
from training.corpus.records.manifest import load_manifest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (1: the message is on stderr)."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "gibberish":
            from training.corpus.pii.gibberish import train_gibberish_model

            print(train_gibberish_model(options.corpus))
            return 0
        if options.command == "score-pii":
            print(_scores(options.labelled, options.ner), end="")
            return 0
        manifest = load_manifest(options.manifest)
        if options.command == "notice":
            title = f"Packages of the corpus '{manifest.name}'"
            print(notice_markdown(manifest.packages, title=title), end="")
        else:
            fetch_manifest(manifest, options.cache, _print_progress)
    except CorpusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: what was fetched before is kept, nothing is half-written", file=sys.stderr)
        return 130
    return 0


def _scores(labelled: Path, ner: str | None) -> str:
    from training.corpus.pii.names import ModelFinder
    from training.corpus.pii.redact import FINDERS
    from training.corpus.pii.scoring import markdown, score

    return markdown(score(labelled, FINDERS if ner is None else (*FINDERS, ModelFinder(ner))))


def _print_progress(package: Package, done: int, total: int) -> None:
    print(f"[{done}/{total}] fetched {package.identity}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -I -m training.corpus", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (
        ("fetch", "fetch and verify the pinned files"),
        ("notice", "print the list of packages and licences as Markdown"),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("manifest", type=Path)
        command.add_argument(
            "--cache", type=Path, default=default_cache_dir(), help="where fetched files are kept"
        )
    summary = "print the model of letter pairs, made from the prose of a corpus, that tells keys from words"
    command = commands.add_parser("gibberish", help=summary, description=summary)
    command.add_argument("corpus", type=Path, help="folder of *.jsonl.gz shards")
    summary = "print precision and recall of what finds personal data, on a labelled set"
    command = commands.add_parser("score-pii", help=summary, description=summary)
    command.add_argument("labelled", type=Path, help="JSONL in which ⟦kind:value⟧ marks personal data")
    command.add_argument("--ner", help="a token classification model that finds names too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
