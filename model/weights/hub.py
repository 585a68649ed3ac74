"""From a model's name to its files on this machine.

A name is `starter` (bundled), a folder, a GGUF file, or a Hugging Face id (`bigcode/starcoderbase-1b`, with
`@REVISION` if wanted). Only safetensors and JSON are ever fetched or loaded: pickles can run code.
huggingface_hub, with its token and cache, is imported when something has to come from there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model.errors import HubError
from model.families.config import CONFIG_FILE
from model.families.registry import read_config
from model.local import user_folders
from model.weights.licence import read_licence, restrictions_of

STARTER = "starter"
_GGUF_SUFFIX = ".gguf"
_HF_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
_WANTED = [
    CONFIG_FILE,
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "*.safetensors",
    "*.safetensors.index.json",
    "README.md",
    "LICENSE*",
]
_ASK_SECONDS = 10.0
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
    if name == STARTER:
        return _checked(bundled_folder(), STARTER)
    file = Path(name).expanduser()
    if file.suffix == _GGUF_SUFFIX and file.is_file():
        return _file(file)
    if match := _HF_ID.fullmatch(name):
        folder = _from_hub(match["id"], match["revision"], cache_dir, offline, endpoint)
        return _checked(folder, name)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise HubError(
            f"model {name!r} is neither {STARTER!r}, nor a folder or {_GGUF_SUFFIX} file here, nor a "
            "Hugging Face id such as bigcode/starcoderbase-1b"
        )
    return _checked(folder, folder.absolute().name)


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


def _file(path: Path) -> ResolvedModel:
    from model.gguf.files import peek  # imports NumPy, which a language server does without

    licence = peek(path, ("general.license",)).get("general.license")
    named = licence if isinstance(licence, str) else None
    return ResolvedModel(folder=path, name=path.stem, license=named, restrictions=restrictions_of(named))


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


def _from_hub(
    repo_id: str, revision: str | None, cache_dir: Path | None, offline: bool, endpoint: str | None
) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fetch(*, local_files_only: bool) -> Path:
        folder = huggingface_hub.snapshot_download(
            repo_id,
            revision=revision,
            cache_dir=cache_dir,
            endpoint=endpoint,
            allow_patterns=_WANTED,
            local_files_only=local_files_only,
        )
        return Path(folder)

    try:
        return fetch(local_files_only=True)  # what is here is used without asking the network
    except LocalEntryNotFoundError as error:
        if offline or huggingface_hub.constants.HF_HUB_OFFLINE:
            raise _offline_error(repo_id, "the network is not to be used") from error
    with _explained(repo_id):
        # One plain question first: a download tries for 20 s before it says that the network is down.
        huggingface_hub.HfApi(endpoint=endpoint).repo_info(repo_id, revision=revision, timeout=_ASK_SECONDS)
        # Then its architecture: some models are 30 GB, and of no use here.
        config = huggingface_hub.hf_hub_download(
            repo_id, CONFIG_FILE, revision=revision, cache_dir=cache_dir, endpoint=endpoint
        )
        read_config(Path(config).parent)
        return fetch(local_files_only=False)


@contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    """Turn huggingface_hub's failures into `HubError` with the remedy."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repo_id} is gated: accept its licence on its page at huggingface.co, then log in with "
            "`hf auth login` (or set HF_TOKEN)"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"Hugging Face has no model {repo_id!r}, or it is private: check the spelling, or log in with "
            "`hf auth login` (or set HF_TOKEN)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{repo_id} has no such revision: check the part after the @") from error
    except errors.LocalEntryNotFoundError as error:
        raise _offline_error(repo_id, _first_line(error.__cause__ or error)) from error
    except errors.RemoteEntryNotFoundError as error:
        raise HubError(f"{repo_id} has no config.json: it is not a model that can be loaded here") from error
    # HTTPError is whichever HTTP library's this release of huggingface_hub uses.
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        raise _offline_error(repo_id, f"fetching it failed ({_first_line(error)})") from error


def _offline_error(repo_id: str, reason: str) -> HubError:
    wanted = " ".join(f"--include '{pattern}'" for pattern in _WANTED)
    return HubError(
        f"{repo_id} is not on this machine, and {reason}. Where there is a network, run\n"
        f"  hf download {repo_id} {wanted} --local-dir {repo_id.split('/')[1]}\n"
        "then copy that folder here and give its path as the model (or use the bundled model, 'starter')."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
