"""Which models lie on this machine already, wherever other programs have put them.

Owns what they are called and how each program lays them out. Asks no network and reads no more of a file
than the beginning of its head. A link is followed to a file, never into a folder, and what is not a regular
file is passed over. Knows neither whether a model can be loaded nor what it is good for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from model.catalogue.places import OLLAMA_PREFIX, Places
from model.errors import CheckpointError
from model.gguf.block_types import FILE_TYPES
from model.gguf.files import SUFFIX, parts_of_name, peek

_OLLAMA_WEIGHTS = "application/vnd.ollama.image.model"
_OLLAMA_HOST, _OLLAMA_OWNER = "registry.ollama.ai", "library"
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
# Manifests are a kilobyte, config.json is some: what is larger is something else.
_MAX_JSON_BYTES = 1 << 20
# Folders have a few levels: publisher, model, file. Beyond these numbers somebody's disk is being searched.
_MAX_DEPTH = 4
_MAX_ENTRIES = 10_000


class WeightFormat(StrEnum):
    """How weights are stored."""

    GGUF = "gguf"
    SAFETENSORS = "safetensors"


@dataclass(frozen=True, kw_only=True)
class FoundModel:
    """A model that is here."""

    name: str
    """What `--model` takes: `ollama:NAME:TAG`, the hub's id, or its path."""
    path: Path
    """A GGUF file (of one in parts, the first), or a folder of safetensors."""
    place: str
    """Whose folder it lies in."""
    n_bytes: int
    format: WeightFormat
    architecture: str | None
    """What its file calls it; None where the file does not say."""
    quantisation: str | None


def find_models(places: Places) -> list[FoundModel]:
    """All models there, in the order of the places, each file once."""
    found: dict[Path, FoundModel] = {}
    for model in _all(places):
        found.setdefault(model.path.resolve(), model)
    return list(found.values())


def find_ollama(name: str, folder: Path) -> Path | None:
    """The weights of `NAME[:TAG]` in Ollama's folder of models; None if it has no such model."""
    model, _, tag = name.removeprefix(OLLAMA_PREFIX).partition(":")
    parts = model.split("/")
    if not all(re.fullmatch(r"\w[\w.-]*", part) for part in [*parts, tag or "latest"]) or len(parts) > 3:
        return None
    host_and_owner = [_OLLAMA_HOST, _OLLAMA_OWNER][: 3 - len(parts)]
    manifest = folder.joinpath("manifests", *host_and_owner, *parts, tag or "latest")
    return _ollama_weights(manifest, folder)


def _all(places: Places) -> Iterator[FoundModel]:
    if places.ours:
        yield from _in_folder(places.ours, "ours")
    if places.hub:
        yield from _in_hub(places.hub)
    if places.ollama:
        yield from _in_ollama(places.ollama)
    for folder in places.lm_studio:
        yield from _in_folder(folder, "LM Studio")
    if places.llama_cpp:
        yield from _in_folder(places.llama_cpp, "llama.cpp")
    for folder in places.given:
        yield from _in_folder(folder, str(folder))


def _in_folder(folder: Path, place: str) -> Iterator[FoundModel]:
    for path in _files(folder):
        if path.suffix == SUFFIX:
            if (model := _gguf(path, str(path), place)) is not None:
                yield model
        elif path.name == "config.json" and (model := _safetensors(path.parent, str(path.parent), place)):
            yield model


def _in_hub(cache: Path) -> Iterator[FoundModel]:
    """The hub's cache: `models--OWNER--NAME/snapshots/REVISION/`, whose files are links to blobs."""
    for repository in _entries(cache):
        kind, _, name = repository.name.partition("--")
        if kind != "models" or repository.is_symlink():
            continue
        hub_id = name.replace("--", "/")
        for snapshot in _entries(repository / "snapshots"):
            if (model := _safetensors(snapshot, hub_id, "hub")) is not None:
                yield model
            for path in _files(snapshot):
                if path.suffix == SUFFIX and (model := _gguf(path, str(path), "hub")) is not None:
                    yield model


def _in_ollama(folder: Path) -> Iterator[FoundModel]:
    manifests = folder / "manifests"
    for manifest in _files(manifests):
        parts = manifest.relative_to(manifests).parts
        weights = _ollama_weights(manifest, folder) if len(parts) >= 2 else None
        if weights is None:
            continue
        usual = [_OLLAMA_HOST, _OLLAMA_OWNER]
        model = parts[:-1]
        while usual and model[0] == usual[0]:
            usual, model = usual[1:], model[1:]
        name = f"{OLLAMA_PREFIX}{'/'.join(model)}:{parts[-1]}"
        if (found := _gguf(weights, name, "Ollama")) is not None:
            yield found


def _ollama_weights(manifest: Path, folder: Path) -> Path | None:
    """The blob that a manifest calls the model. Its name is a digest: no manifest leads elsewhere."""
    layers = _read_object(manifest).get("layers")
    for layer in layers if isinstance(layers, list) else []:
        if isinstance(layer, dict) and layer.get("mediaType") == _OLLAMA_WEIGHTS:
            digest = _DIGEST.fullmatch(str(layer.get("digest")))
            blob = folder / "blobs" / f"sha256-{digest[1]}" if digest else None
            return blob if blob is not None and blob.is_file() else None
    return None


def _gguf(path: Path, name: str, place: str) -> FoundModel | None:
    """A GGUF file; None for what is none, and for the later parts of one."""
    parts = [path]
    if (named := parts_of_name(path)) is not None:
        stem, number, count = named
        if number != 1 or count > _MAX_ENTRIES:
            return None
        parts = [path.with_name(f"{stem}-{i:05}-of-{count:05}{SUFFIX}") for i in range(1, count + 1)]
    try:
        told = peek(path, {"general.architecture", "general.file_type", "general.type"})
        n_bytes = sum(part.stat().st_size for part in parts)
    except (CheckpointError, OSError):
        return None  # damaged, half fetched, or not ours to read
    if told.get("general.type", "model") != "model":
        return None  # an adapter, or the eyes of a model that sees
    architecture, file_type = told.get("general.architecture"), told.get("general.file_type")
    return FoundModel(
        name=name,
        path=path,
        place=place,
        n_bytes=n_bytes,
        format=WeightFormat.GGUF,
        architecture=architecture if isinstance(architecture, str) else None,
        quantisation=FILE_TYPES.get(file_type) if isinstance(file_type, int) else None,
    )


def _safetensors(folder: Path, name: str, place: str) -> FoundModel | None:
    """A folder with a config.json and safetensors; None for any other."""
    files = [path for path in _entries(folder) if path.suffix == ".safetensors" and path.is_file()]
    config = _read_object(folder / "config.json")
    if not files or not config:
        return None
    architecture = config.get("model_type")
    return FoundModel(
        name=name,
        path=folder,
        place=place,
        n_bytes=sum(path.stat().st_size for path in files),
        format=WeightFormat.SAFETENSORS,
        architecture=architecture if isinstance(architecture, str) else None,
        quantisation=None,
    )


def _read_object(path: Path) -> dict[str, object]:
    """A small JSON object; empty for anything else."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_JSON_BYTES:
            return {}
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _files(folder: Path) -> Iterator[Path]:
    """Regular files at most some levels below a folder, in order; links to files among them."""
    left = _MAX_ENTRIES
    folders = [(folder, 0)]
    while folders:
        here, depth = folders.pop()
        below = []
        for path in _entries(here):
            left -= 1
            if left < 0:
                return
            if path.is_file():
                yield path
            elif path.is_dir() and not path.is_symlink() and depth < _MAX_DEPTH:
                below.append((path, depth + 1))
        folders += reversed(below)


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, in order; nothing if it is not there, or not ours to read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
