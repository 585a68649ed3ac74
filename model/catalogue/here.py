"""Which published models are here, and which one `auto` is.

Owns the folder that fetched models go to, and where other programs put the same files. Nothing is read:
a file counts by its place, its name and its length. That is cheap enough for every start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from model.catalogue.machine import Machine, suits
from model.catalogue.places import Places
from model.catalogue.published import AUTO, PUBLISHED, STARTER, PublishedModel
from model.local import user_folders

SUFFIX = ".gguf"


def models_folder() -> Path:
    """Where fetched models lie; it need not exist."""
    return user_folders.cache_folder() / "models"


def own_file(model: PublishedModel) -> Path:
    """Where a model lies, or will lie, once it is fetched."""
    return models_folder() / f"{model.name}{SUFFIX}"


def usual_places() -> Places:
    """Where models of this user lie, ours first."""
    return Places.of_this_user(ours=models_folder())


def file_here(model: PublishedModel, places: Places | None = None) -> Path | None:
    """A model's file on this machine, whoever has put it there; None if it is not here."""
    for path in _candidates(model, places or usual_places()):
        if path.is_file() and path.stat().st_size == model.n_bytes:
            return path
    return None


def best_here(places: Places | None = None) -> str:
    """The name that `auto` stands for: the best of the models here that can fill in, else the starter.

    A model that suits this machine comes before a better one that is too slow or too large for it.
    """
    looked_at, machine = places or usual_places(), Machine.this()
    able = [model for model in PUBLISHED if model.infilling is not None and file_here(model, looked_at)]
    able.sort(key=lambda model: not suits(model, machine))
    return able[0].name if able else STARTER


def settled(name: str) -> str:
    """The same name, but of `auto` the one that it stands for now."""
    return best_here() if name == AUTO else name


def _candidates(model: PublishedModel, places: Places) -> Iterator[Path]:
    if places.ours:
        yield places.ours / f"{model.name}{SUFFIX}"
    if places.ollama:
        yield places.ollama / "blobs" / f"sha256-{model.sha256}"
    if model.hub is None:
        return
    owner_and_name = model.hub.repository.split("/")
    if places.hub:
        snapshots = places.hub / "--".join(["models", *owner_and_name]) / "snapshots"
        yield from sorted(snapshots.glob(f"*/{model.hub.name}"))
    for folder in places.lm_studio:
        yield folder.joinpath(*owner_and_name, model.hub.name)
    if places.llama_cpp:
        yield places.llama_cpp / "_".join([*owner_and_name, model.hub.name])
