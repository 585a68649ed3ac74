"""`.ci/install`: what it does the first time, the second time, and after an interruption.

A shell script stands for Python and writes down what is asked of pip, so that nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = """#!/bin/sh
case "$*" in
    "-m venv --clear .venv")
        rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo venv >>log ;;
    *"pip show"*) [ ! -e no-torch ] ;;
    *native_library*) [ ! -e no-compiler ] ;;
    *"pip --version"*) ;;
    *"pip "*)
        [ ! -e offline ] || exit 1
        echo "$*" | sed 's/.* install/install/' >>log ;;
esac
"""


@dataclass(frozen=True)
class Checkout:
    folder: Path

    def install(self, purpose: str = "run") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", ".ci/install", purpose],
            cwd=self.folder,
            env={**os.environ, "PYTHON": str(self.folder / "python")},
            capture_output=True,
            text=True,
            check=False,
        )

    def log(self) -> list[str]:
        """What was done since the last question."""
        path = self.folder / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    (tmp_path / ".ci").mkdir()
    for name in (".ci/install", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return Checkout(tmp_path)


RUN = "install --quiet --no-compile --constraint constraints.txt --editable ."
DEV = RUN + "[dev]"


def test_the_second_time_nothing_is_done(checkout: Checkout) -> None:
    assert checkout.install().returncode == 0
    assert checkout.log() == ["venv", RUN]
    again = checkout.install()
    assert (again.returncode, again.stdout, checkout.log()) == (0, "", [])


def test_what_the_tests_need_serves_the_demo_too(checkout: Checkout) -> None:
    checkout.install("dev")
    assert checkout.log() == ["venv", DEV]
    checkout.install("run")
    assert checkout.log() == []


def test_the_demo_first_and_then_the_tests_adds_to_the_same_environment(checkout: Checkout) -> None:
    checkout.install("run")
    checkout.log()
    checkout.install("dev")
    assert checkout.log() == [DEV]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_change_of_the_pins_is_installed(checkout: Checkout, name: str) -> None:
    checkout.install()
    checkout.log()
    with (checkout.folder / name).open("a") as file:
        file.write("# changed\n")
    checkout.install()
    assert checkout.log() == [RUN]


def test_an_interrupted_environment_is_made_anew(checkout: Checkout) -> None:
    checkout.install()
    checkout.log()
    (checkout.folder / ".venv" / ".unfinished").touch()
    (checkout.folder / ".venv" / ".installed-run").unlink()
    checkout.install()
    assert checkout.log() == ["venv", RUN]
    assert not (checkout.folder / ".venv" / ".unfinished").exists()


def test_without_a_network_the_environment_stays_as_it_is(checkout: Checkout) -> None:
    checkout.install()
    checkout.log()
    (checkout.folder / "offline").touch()
    (checkout.folder / "constraints.txt").write_text("# changed\n")
    assert checkout.install().returncode != 0
    (checkout.folder / "offline").unlink()
    assert checkout.install().returncode == 0
    assert checkout.log() == [RUN]


UV = "install --quiet --target .venv/.uv --constraint constraints.txt uv"


def test_completions_are_installed_without_pytorch(checkout: Checkout) -> None:
    (checkout.folder / "no-torch").touch()
    run = checkout.install()
    assert (run.returncode, checkout.log()) == (0, ["venv", RUN])
    assert "PyTorch" not in run.stdout + run.stderr


def test_pytorchs_cpu_build_is_tried_and_then_the_default(checkout: Checkout) -> None:
    (checkout.folder / "no-torch").touch()
    run = checkout.install("dev")
    if "CPU build" not in run.stdout:
        pytest.skip("this machine has an NVIDIA driver, or is not Linux")
    # The script that stands for pip installs no uv, which is as good as an index that does not answer.
    assert "does not answer" in run.stdout
    assert checkout.log() == ["venv", UV, DEV]
    assert run.returncode == 0


def test_without_a_compiler_pytorch_is_installed_and_one_line_says_why(checkout: Checkout) -> None:
    (checkout.folder / "no-compiler").touch()
    run = checkout.install()
    assert (run.returncode, checkout.log()) == (0, ["venv", RUN, RUN + "[gpu]"])
    (why,) = [line for line in run.stdout.splitlines() if "compile" in line]
    assert "is there a C++ compiler?" in why
    assert "PyTorch is installed" in why
    assert checkout.install().stdout == ""


def test_without_a_compiler_too_the_cpu_build_is_tried_first(checkout: Checkout) -> None:
    for name in ("no-compiler", "no-torch"):
        (checkout.folder / name).touch()
    run = checkout.install()
    if "CPU build" not in run.stdout:
        pytest.skip("this machine has an NVIDIA driver, or is not Linux")
    assert checkout.log() == ["venv", RUN, UV, RUN + "[gpu]"]


def test_an_old_python_is_refused_with_the_remedy(checkout: Checkout, tmp_path: Path) -> None:
    (checkout.folder / "python").write_text("#!/bin/sh\nexit 1\n")
    run = subprocess.run(
        ["/bin/sh", ".ci/install", "run"],
        cwd=checkout.folder,
        env={"PYTHON": str(checkout.folder / "python"), "PATH": str(only_basics(tmp_path / "bin"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "Python 3.11 or newer is needed" in run.stderr


def only_basics(folder: Path) -> Path:
    """A PATH with what a shell script needs, and no Python."""
    folder.mkdir()
    for name in ("cat", "cksum", "dirname", "rm", "touch"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder
