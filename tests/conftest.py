"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# Every run tries the same examples, so that it says the same of the same code; "search" looks for new ones.
# How long an example takes says more about what else the machine does than about the code.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _UNHURRIED, derandomize=True)
settings.register_profile("search", _UNHURRIED, max_examples=1000)
settings.load_profile("same")

# Threads of OpenMP that wait for one another sleep, as an engine's do. Awake they took ten times the work's
# time wherever other tests wanted the cores. Read when PyTorch is loaded, which a folder's conftest may do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, as most tests wait: for servers, for other processes."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove a worker's temporary files. (Those of `pytest -n 0` stay for three runs.)"""
    if "PYTEST_XDIST_WORKER" in os.environ:
        shutil.rmtree(config.option.basetemp, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU, and begin with the files that have slow tests."""
    _skip_without_gpu(items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _ByFile:
    """Say what runs where (`pytest -n`), in the order above and not by xdist's number of tests."""
    config.option.loadscopereorder = False
    return _ByFile(config, log)


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """The tests of a file run in one process; all that ask an Elasticsearch too, so that it starts once.

    Those have its name in theirs or in their file's. (Marks are not seen here, only names.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return "elasticsearch" if "elastic" in nodeid.rpartition("/")[2] else file


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
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "work" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path
