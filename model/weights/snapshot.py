"""A model's folder on the Hugging Face hub, fetched into the hub's own cache.

Only safetensors and JSON are fetched. huggingface_hub, with its token and cache, is imported when something
has to come from there. Knows no other names of models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.errors import HubError
from model.families.config import CONFIG_FILE
from model.families.registry import read_config

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


def fetch_snapshot(
    repo_id: str, revision: str | None, *, cache_dir: Path | None, offline: bool, endpoint: str | None
) -> Path:
    """The folder of a model of the hub, fetched if it must and may be.

    Raises `HubError`, or `ConfigError` for a model of another architecture (before its weights are fetched).
    """
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
