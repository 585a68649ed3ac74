"""The code that a model was fine-tuned on, put into the attribution index, as it stands in its files.

The index gets the very files that were collected (`training.data.own_code`), with what git and the licence
files say about them. Needs the extra `attribution`.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from attribution.errors import AttributionError
from attribution.indexing.build import build
from attribution.source import SourceDocument
from attribution.sources.ingest import indexable, read_tree
from attribution.sources.trees import FolderTree
from attribution.store.open import default_index_folder, open_writer
from model.extras import install_command
from training.data.own_code import files_of
from training.errors import TrainingError

_MODULES = ("rapidfuzz", "zstandard")


def check_index_extra() -> None:
    """Raise TrainingError when the index could not be written: before the training, not after it."""
    missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise TrainingError(
            f"the attribution index needs {missing[0]}, which is not installed: "
            f"{install_command('attribution')}, or --no-index"
        )


def add_to_index(folder: Path, index: str) -> str:
    """Add a folder's files to an index, which is made if it is not there. Returns where and how many.

    Raises TrainingError: the model is there by then, and the message has the command that is left to do.
    """
    url = index or str(default_index_folder())
    try:
        with open_writer(url) as writer:
            counts = build(_documents(folder), writer)
    except AttributionError as error:
        raise TrainingError(
            f"the model is made, but its code could not be added to the index {url} ({error}); "
            f"when that is mended: starcoder-lsp index build {folder} --into {url}"
        ) from error
    return f"{counts.added:,} of its files added to the attribution index {url} ({counts.unchanged:,} known)"


def _documents(folder: Path) -> Iterator[SourceDocument]:
    wanted = {path.relative_to(folder).as_posix() for path in files_of(folder, Counter())}
    found = read_tree(FolderTree(folder), Counter())
    yield from indexable((document for document in found if document.source.path in wanted), Counter())
