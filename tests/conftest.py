"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

_SERVERS = {"own_server", "server", "secure_server", "elastic_url"}


@pytest.hookimpl(tryfirst=True)  # before pytest makes its folder for temporary files
def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl+C reach the processes that tests start, share the cores, and keep paths short.

    A shell without job control starts `pytest &` with SIGINT ignored, and children would inherit that.
    A unix socket's path has 107 bytes at most. Of one that is longer another folder is taken, which
    all tests would share; and pytest-xdist's own names for temporary folders are long.
    Side by side, tests and their processes compute with their share of the cores: threads of OpenMP spin
    while they wait for one another.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "PYTEST_XDIST_WORKER" in os.environ:
        config.option.basetemp = tempfile.mkdtemp(prefix="t-")
        cores, workers = os.cpu_count() or 1, int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // workers)))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove a worker's temporary files. (Those of `pytest -n 0` stay for three runs.)"""
    if "PYTEST_XDIST_WORKER" in os.environ:
        shutil.rmtree(config.option.basetemp, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what runs where: the tests of a file in one process, and files with slow tests first.

    All that ask an Elasticsearch are in one process, so that it is started once.
    """
    _skip_without_gpu(items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        asks_server = _SERVERS & set(getattr(item, "fixturenames", ())) or "[elasticsearch" in item.name
        item.add_marker(pytest.mark.xdist_group("elasticsearch" if asks_server else str(item.path)))


def _skip_without_gpu(items: list[pytest.Item]) -> None:
    # PyTorch is imported only if something asks for a GPU.
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of their own: no settings, no engine running, and a working folder that is no project."""
    for kind in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "work" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path
