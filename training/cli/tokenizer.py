"""`starcoder-lsp train tokenizer` and `starcoder-lsp eval tokenizer`: options to calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cli_common import fail
from training.errors import EvaluationError, TrainingError


def train_command(
    corpus: Annotated[Path, typer.Argument(help="A corpus folder, with train and held_out.")],
    into: Annotated[Path, typer.Option(help="Folder for tokenizer.json and its report.")],
    vocab_size: Annotated[int, typer.Option(min=275, help="Tokens, the 19 special ones included.")] = 49_152,
    max_chars: Annotated[int, typer.Option(help="At most so much text is learnt from.")] = 120_000_000,
    against: Annotated[Path | None, typer.Option(help="Folder of a tokenizer.json to compare with.")] = None,
) -> None:
    """Train a byte-level BPE tokenizer as StarCoder's is, and report on it in tokenizer.md."""
    from training.data.tokenizer import TokenizerOptions, train_on_corpus

    try:
        options = TokenizerOptions(vocab_size=vocab_size, max_train_chars=max_chars)
        train_on_corpus(corpus, into, options)
    except ValueError as error:
        raise fail(error) from error
    report = _report(into, corpus / "held_out", against)
    (into / "tokenizer.md").write_text(report, encoding="utf-8")
    typer.echo(report, nl=False)


def eval_command(
    tokenizer: Annotated[Path, typer.Argument(help="Folder of a tokenizer.json.")],
    documents: Annotated[Path, typer.Option(help="Folder of documents (*.jsonl.gz), or one such file.")],
    against: Annotated[Path | None, typer.Option(help="Folder of a tokenizer.json to compare with.")] = None,
) -> None:
    """Characters per token by language, as Markdown, beside another tokenizer's."""
    typer.echo(_report(tokenizer, documents, against), nl=False)


def _report(tokenizer: Path, documents: Path, against: Path | None) -> str:
    from training.corpus.records.shards import read_documents
    from training.data.tokenizer_report import load, markdown, measure

    folders = [tokenizer, *([] if against is None else [against])]
    try:
        if not documents.exists():
            raise EvaluationError(f"{documents} does not exist; name a folder of documents")
        tokenizers = {folder.resolve().name: load(folder) for folder in folders}
        return markdown(tokenizers, measure(tokenizers, read_documents(documents)))
    except TrainingError as error:
        raise fail(error) from error
