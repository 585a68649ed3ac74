"""A run as a model to ship: exported, measured beside the one before, described, with its corpus's papers.

What ships: weights, config, tokenizer; README.md (the card); DATASHEET.md with its pictures, corpus.json
(the manifest), documents.jsonl.gz and LICENSES.txt of the corpus; portrait.bin; loss.png.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.weights.hub import resolve
from training.data.packing import PackedCorpus, PackOptions, pack, tokenizer_sha256
from training.errors import EvaluationError, TrainingError
from training.evaluate.measure import measure_spans
from training.evaluate.progress import progress_bar
from training.jobs.comparison import Comparison, Standing
from training.jobs.export import (
    CORPUS_FILES,
    PICTURES_FOLDER,
    Exported,
    check_target,
    export_checkpoint,
    newest_checkpoint,
    scheme_of,
)
from training.jobs.model_card import Measured, write_card
from training.jobs.portrait import write_portrait
from training.jobs.runs import evaluate_loss
from training.loop.pretrain import PICTURE_FILE
from training.loop.run_log import LOG_FILE


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What is read: a run, its packed shards, the corpus's papers, the problems to score.

    `previous` is the model that the new one must not fall behind; None ships whatever it is. `documents` and
    `held_out` are the folders that the shards were packed from; None: those that the run names.
    `number_format` of the weights is bf16 or int8; what is measured is what is written.
    """

    run: Path
    packed: Path
    notices: Path
    problems: Path
    tokenizer: Path
    previous: str | None
    documents: Path | None = None
    held_out: Path | None = None
    number_format: str = "bf16"
    held_out_bytes: int = 400_000


def publish_run(source: Publication, target: Path) -> Comparison | None:
    """Write `target` whole, or leave it as it is. Raises TrainingError, also when the model is worse.

    The previous model may be the one at `target`: it is replaced at the very end.
    """
    scheme = scheme_of(source.number_format)
    check_target(target)
    _check_papers(source)
    with _replacing(target) as scratch:
        exported = export_checkpoint(newest_checkpoint(source.run), scratch, source.tokenizer, scheme)
        _copy_papers(source, scratch)
        corpus = PackedCorpus(source.packed / "train", tokenizer=source.tokenizer)
        with progress_bar("portrait") as progress:
            write_portrait(source.documents or Path(exported.recipe.data.train), corpus, scratch, progress)
        measured = _measured(source, exported, scratch, target.name)
        notice = (source.notices / "NOTICE.md").read_text(encoding="utf-8")
        write_card(scratch, target.name, exported, source.run / LOG_FILE, corpus, notice, measured)
    return measured.comparison


def _check_papers(source: Publication) -> None:
    """Before anything is measured: that takes minutes."""
    wanted = [source.notices / name for name in (*CORPUS_FILES, "NOTICE.md", PICTURES_FOLDER)]
    if missing := [path for path in (*wanted, source.run / PICTURE_FILE) if not path.exists()]:
        raise TrainingError(
            f"{missing[0]} does not exist: --notices takes the folder that `train corpus` made, "
            "--run that of a run that was scored at least once"
        )


def _copy_papers(source: Publication, scratch: Path) -> None:
    for file in (source.run / PICTURE_FILE, *(source.notices / name for name in CORPUS_FILES)):
        shutil.copyfile(file, scratch / file.name)
    shutil.copytree(source.notices / PICTURES_FOLDER, scratch / PICTURES_FOLDER)


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A scratch folder that takes the target's place when the block ends well, else is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch, old = (target.with_name(f".{target.name}.{state}") for state in ("partial", "replaced"))
    shutil.rmtree(scratch, ignore_errors=True)  # of a command that was killed
    scratch.mkdir()
    try:
        yield scratch
        check_target(target)
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            os.replace(target, old)
        os.replace(scratch, target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _measured(source: Publication, exported: Exported, scratch: Path, name: str) -> Measured:
    # A relative `a/b` would be taken for a Hugging Face id.
    model, size = str(scratch.absolute()), source.held_out_bytes
    losses = evaluate_loss(model, source.packed / "held_out", text_bytes=size)
    infilling = [_infilling(model, source, "spm")]
    comparison = None
    if source.previous is not None:
        after = _standing(name, losses, infilling[0])
        before = _previous(source, source.previous, exported)
        comparison = Comparison(before=before, after=after, weights=exported.recipe.data.weights)
        if objections := comparison.objections():
            table = "\n".join(comparison.table())
            raise EvaluationError(f"not shipped, worse than before: {'; '.join(objections)}\n{table}")
    infilling += [
        _infilling(model, source, "psm"),
        _infilling(model, source, "spm", heal=False),
    ]
    return Measured(losses=losses, infilling=infilling, comparison=comparison)


def _previous(source: Publication, name: str, exported: Exported) -> Standing:
    """The previous model on the very same held-out documents and problems."""
    folder = resolve(name).folder
    packed = source.packed / "held_out"
    with tempfile.TemporaryDirectory() as scratch:
        if tokenizer_sha256(folder) != tokenizer_sha256(source.tokenizer):
            documents, packed = source.held_out or Path(exported.recipe.data.held_out), Path(scratch)
            # The order and the tags depend on the documents alone, not on the tokenizer.
            pack(documents, packed, folder, PackOptions())
        losses = evaluate_loss(name, packed, text_bytes=source.held_out_bytes)
    return _standing(f"before ({Path(name).name})", losses, _infilling(name, source, "spm"))


def _infilling(model: str, source: Publication, order: str, *, heal: bool = True) -> dict[str, Any]:
    """What `eval infilling` measures."""
    found = measure_spans(model, str(source.problems), (order,), None, None, heal=heal)
    return {**found["orders"][order], "order": order, "healed": heal}


def _standing(name: str, losses: dict[str, dict[str, float]], infilling: dict[str, Any]) -> Standing:
    bits = {language: loss["bits_per_byte"] for language, loss in losses.items()}
    return Standing(name=name, bits_per_byte=bits, exact_match=infilling["exact_match"])
