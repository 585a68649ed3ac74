"""From a model's name to its files on this machine: the one resolver, which every door asks.

A name is `auto` (the best published model that is here, else the starter), `starter` (bundled), a published
model's (`qwen2.5-coder-0.5b`), `ollama:NAME:TAG`, a GGUF file or a folder with one, a folder of safetensors,
or a Hugging Face id (`bigcode/starcoderbase-1b`, with `@REVISION` if wanted). Only ids of the hub are fetched
by being named; pickles, which can run code, are never loaded.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from model.catalogue.here import file_here, settled, usual_places
from model.catalogue.places import OLLAMA_PREFIX
from model.catalogue.published import STARTER, PublishedModel, published
from model.errors import HubError
from model.families.config import CONFIG_FILE
from model.local import user_folders
from model.weights.licence import read_licence, restrictions_of
from model.weights.snapshot import fetch_snapshot

_GGUF_SUFFIX = ".gguf"
_HF_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, kw_only=True)
class ResolvedModel:
    """A complete model folder, or a GGUF file, and what its licence says."""

    folder: Path
    name: str
    license: str | None = None
    restrictions: str | None = None


def resolve(
    name: str, *, cache_dir: Path | None = None, offline: bool = False, endpoint: str | None = None
) -> ResolvedModel:
    """Find a model's files, fetching them if they must and may be.

    `cache_dir` and `endpoint` None mean huggingface_hub's own (`HF_HOME`, `HF_ENDPOINT`); `offline`
    fetches nothing. Raises `HubError`, or `ConfigError` for a model of another architecture (before
    its weights are fetched).
    """
    name = settled(name)
    if name == STARTER:
        return _checked(bundled_folder(), STARTER)
    if (model := published(name)) is not None:
        return _published(model)
    if name.startswith(OLLAMA_PREFIX):
        return _ollama(name)
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == _GGUF_SUFFIX:
        return _file(path, path.stem)
    if not path.is_dir() and (match := _HF_ID.fullmatch(name)):
        folder = fetch_snapshot(
            match["id"], match["revision"], cache_dir=cache_dir, offline=offline, endpoint=endpoint
        )
        return _checked(folder, name)
    if not path.is_dir():
        raise HubError(
            f"model {name!r} is neither {STARTER!r}, nor a folder or {_GGUF_SUFFIX} file here, nor a Hugging "
            "Face id such as bigcode/starcoderbase-1b; `starcoder-lsp model list` names those that are known"
        )
    if (file := _gguf_of_folder(path)) is not None:
        return _file(file, path.absolute().name)
    return _checked(path, path.absolute().name)


def bundled_folder() -> Path:
    """Where the starter model lies, inside the installed package."""
    return Path(__file__).parents[1] / STARTER


def first_notice(name: str, restrictions: str | None, *, folder: Path | None = None) -> str | None:
    """The restrictions to show now: None if there are none or this user has seen them for this model.

    Remembers that they were shown, in `folder` (None: the user's state folder).
    """
    if restrictions is None:
        return None
    marks = (folder or user_folders.state_folder()) / "notices"
    mark = marks / hashlib.sha256(f"{name}\n{restrictions}".encode()).hexdigest()[:16]
    if mark.exists():
        return None
    marks.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{name}\n\n{restrictions}\n", encoding="utf-8")
    return restrictions


def _published(model: PublishedModel) -> ResolvedModel:
    path = file_here(model)
    if path is None:
        raise HubError(
            f"{model.name} is not on this machine: `starcoder-lsp model get {model.name}` fetches it "
            f"({model.n_bytes / 1e6:,.0f} MB, {model.licence})"
        )
    restrictions = restrictions_of(model.licence)
    return ResolvedModel(folder=path, name=model.name, license=model.licence, restrictions=restrictions)


def _ollama(name: str) -> ResolvedModel:
    from model.catalogue.found import find_ollama

    folder = usual_places().ollama
    path = None if folder is None else find_ollama(name, folder)
    if path is None:
        raise HubError(
            f"Ollama has no model {name.removeprefix(OLLAMA_PREFIX)!r} in {folder}: `ollama pull` it, or see "
            "`starcoder-lsp model list`"
        )
    return _file(path, name.removeprefix(OLLAMA_PREFIX))


def _file(path: Path, name: str) -> ResolvedModel:
    from model.gguf.files import peek  # imports NumPy, which a language server does without

    licence = peek(path, ("general.license",)).get("general.license")
    named = licence if isinstance(licence, str) else None
    return ResolvedModel(folder=path, name=name, license=named, restrictions=restrictions_of(named))


def _gguf_of_folder(folder: Path) -> Path | None:
    """The one model of a folder, in parts or not; None where safetensors lie, or no GGUF file.

    Raises `HubError` where there are several.
    """
    from model.gguf.files import parts_of_name  # imports NumPy, which a language server does without

    files = sorted(folder.glob(f"*{_GGUF_SUFFIX}"))
    if not files or any(folder.glob("*.safetensors")):
        return None
    first = [path for path in files if (part := parts_of_name(path)) is None or part[1] == 1]
    if len(first) != 1:
        named = ", ".join(path.name for path in first) or "none of them the first part"
        raise HubError(f"{folder} has several GGUF files ({named}): name one of them as the model")
    return first[0]


def _checked(folder: Path, name: str) -> ResolvedModel:
    """Refuse a folder that cannot be loaded, saying what it lacks."""
    if not folder.is_dir():
        raise HubError(f"model {name!r}: its folder {folder} is missing, install the package again")
    if not any(folder.glob("*.safetensors")):
        raise HubError(f"model {name!r} ({folder}) has no .safetensors file. {_why_not(folder)}")
    for needed in (CONFIG_FILE, "tokenizer.json"):
        if not (folder / needed).is_file():
            raise HubError(
                f"model {name!r} ({folder}) has no {needed}: take it from where the weights came from"
            )
    licence = read_licence(folder)
    return ResolvedModel(folder=folder, name=name, license=licence, restrictions=restrictions_of(licence))


def _why_not(folder: Path) -> str:
    if not any(path for pattern in _PICKLES for path in folder.glob(pattern)):
        return "Other formats, pickles above all, are never loaded: choose a model that has safetensors."
    return (
        "Its weights are pickled, and loading a pickle can run any code. If you trust them, convert them "
        "with transformers: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
    )
