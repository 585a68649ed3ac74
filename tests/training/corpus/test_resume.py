"""Builds that are killed, interrupted, or run by Slurm, as real processes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from training.cli.cli import train_app
from training.corpus.stages.workspace import Stage

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


def write_sources(folder: Path, files: int = 60, shards: int = 6) -> Path:
    """Tables of documents, some of which resemble one another."""
    folder.mkdir()
    chance = random.Random(3)
    words = [f"word_{number}" for number in range(300)]
    texts: list[str] = []
    for number in range(files):
        lines = [f"{chance.choice(words)} = {chance.choice(words)}({number})" for _ in range(60)]
        texts.append("\n".join(lines) if number % 5 else (texts[-1] if texts else "a = 1\n" * 20) + "\nx = 1")
    for shard in range(shards):
        rows = [
            {"content": text, "path": f"{number}.py", "repo_name": f"o/r{number}", "license": "MIT"}
            for number, text in enumerate(texts)
            if number % shards == shard
        ]
        (folder / f"{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def command(source: Path, into: Path, *more: str) -> list[str]:
    options = ["--into", str(into), "--tasks", "6", *more]
    return [sys.executable, "-m", "lsp", "train", "corpus", str(source), *options]


def run(source: Path, into: Path, *more: str, **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return] # how is subprocess.run's
        command(source, into, *more), cwd=ROOT, capture_output=True, text=True, timeout=240, **how
    )


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def wait_for(work: Path, stage: Stage, process: subprocess.Popen[str], tasks: int = 1) -> None:
    """Until so many tasks of a stage are done, by datatrove's own marks."""
    deadline = time.monotonic() + 120
    marks = work / "logs" / stage.value / "completions"
    while not marks.is_dir() or len(list(marks.iterdir())) < tasks:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{stage} did not get so far in two minutes"
        time.sleep(0.01)


def descendants(pid: int) -> set[int]:
    """The processes below one, by Linux's /proc."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there and not only waits to be reaped."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for_end(pids: set[int]) -> None:
    """Until none of the processes is there; whatever outlives its killed parent fails the test."""
    deadline = time.monotonic() + 60
    while left := {pid for pid in pids if is_running(pid)}:
        assert time.monotonic() < deadline, f"{left} are still there a minute after their parent was killed"
        time.sleep(0.05)


def start(source: Path, into: Path, *more: str) -> subprocess.Popen[str]:
    """A build by `killed_build`, with pipes for what it says."""
    command = [sys.executable, "-m", "tests.training.corpus.killed_build", str(source), str(into), *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def with_a_shard_that_waits(folder: Path) -> tuple[Path, str]:
    """The sources with a last shard that blocks its reader until somebody writes it; and what to write."""
    last = folder / "5.jsonl"
    text = last.read_text()
    last.unlink()
    os.mkfifo(last)
    return last, text


def test_killed_at_any_stage_the_same_command_goes_on_to_the_same_corpus(tmp_path: Path) -> None:
    source = write_sources(tmp_path / "source")
    shard, text = with_a_shard_that_waits(source)
    into, work = tmp_path / "killed", tmp_path / ".killed.work"
    with start(source, into, "2") as process:
        wait_for(work, Stage.FILTER, process, 3)  # it cannot get further than 5 of 6
        below = descendants(process.pid)
        process.kill()
    wait_for_end(below)
    kept = {path: path.stat().st_mtime_ns for path in (work / "filtered").glob("0*/facts.bin")}
    assert 3 <= len(kept) <= 5
    for stage in (Stage.MATCH, Stage.WRITE, Stage.FINISH, None):
        if stage is Stage.MATCH:  # the only one of these runs that reads sources
            threading.Thread(target=shard.write_text, args=(text,), daemon=True).start()
        with start(source, into, "2", *([] if stage is None else [stage])) as process:
            _, message = process.communicate(timeout=240)
        assert process.returncode == (0 if stage is None else -signal.SIGKILL), message
        assert into.exists() == (stage is None)
    assert not work.exists()
    threading.Thread(target=shard.write_text, args=(text,), daemon=True).start()
    with start(source, tmp_path / "whole", "1") as process:
        _, message = process.communicate(timeout=240)
    assert process.returncode == 0, message
    assert tree(into) == tree(tmp_path / "whole")


def test_what_was_done_before_a_kill_is_not_done_again(tmp_path: Path) -> None:
    source = write_sources(tmp_path / "source")
    times = []
    for stage in (Stage.MATCH, Stage.FINISH):
        with start(source, tmp_path / "out", "1", stage) as process:
            process.communicate(timeout=240)
        done = (tmp_path / ".out.work" / "filtered").glob("0*/facts.bin")
        times.append({path.parent.name: path.stat().st_mtime_ns for path in done})
    assert len(times[0]) == 6
    assert times[0] == times[1]


def test_ctrl_c_ends_all_processes_and_says_how_to_go_on(tmp_path: Path) -> None:
    source = write_sources(tmp_path / "source")
    with_a_shard_that_waits(source)
    into = tmp_path / "out"
    with subprocess.Popen(
        command(source, into, "--workers", "2"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_for(tmp_path / ".out.work", Stage.FILTER, process)
        below = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
        _, message = process.communicate(timeout=120)
    wait_for_end(below)
    assert process.returncode == 130, message
    assert "the same command goes on" in message
    assert "Traceback" not in message
    assert not into.exists()


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An environment whose `sbatch` runs jobs at once, in this machine's processes, and notes them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(
        f"#!{sys.executable}\n{(Path(__file__).with_name('sbatch_here.py')).read_text()}"
    )
    (folder / "srun").write_text(
        '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do [ "$1" = -n ] && shift; shift; done\nexec "$@"\n'
    )
    (folder / "scontrol").write_text("#!/bin/sh\necho localhost\n")
    for name in ("sbatch", "srun", "scontrol"):
        (folder / name).chmod(0o755)
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "SBATCH_NOTES": str(tmp_path / "jobs.jsonl"), "PYTHONPATH": str(ROOT)}


def test_slurm_gets_a_chain_of_job_arrays_that_builds_the_same_corpus(
    tmp_path: Path, slurm: dict[str, str]
) -> None:
    source = write_sources(tmp_path / "source")
    assert run(source, tmp_path / "here", "--name", "c", "--workers", "1").returncode == 0
    options = [
        "--executor",
        "slurm",
        "--slurm",
        "partition=cpu",
        "--slurm",
        "time=01:00:00",
        "--slurm",
        "account=lab",
        "--slurm",
        "tasks_per_job=30",
    ]
    done = run(source, tmp_path / "there", "--name", "c", *options, env=slurm)
    assert done.returncode == 0, done.stderr
    assert "submitted to Slurm" in done.stdout
    jobs = [json.loads(line) for line in (tmp_path / "jobs.jsonl").read_text().splitlines()]
    stages = [job for job in jobs if not job["merges_stats"]]
    assert [job["name"] for job in stages] == [f"corpus-{stage}" for stage in Stage]
    for key, value in (("partition", "cpu"), ("account", "lab"), ("time", "01:00:00")):
        assert {job["directives"][key] for job in stages} == {value}
    for before, after in pairwise(stages):
        assert f"afterok:{before['id']}" in after["dependency"]
    assert tree(tmp_path / "there") == tree(tmp_path / "here")
    again = run(source, tmp_path / "there", "--name", "c", *options, env=slurm)
    assert "DATASHEET.md" in again.stdout
    assert not (tmp_path / ".there.work").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "cloud"], "expected local, ray, slurm"),
        (["--executor", "slurm"], "Slurm needs --slurm partition=NAME"),
        (["--slurm", "partition"], "expected KEY=VALUE"),
        (["--slurm", "tasks_per_job=x"], "expected a whole number"),
        (["--table", "other"], "expected starcoder or starter"),
        (["--weight", "CSS=much"], "expected LANGUAGE=SIZE"),
        (["--opt-out", "absent.txt"], "cannot read the opt-out list"),
    ],
)
def test_a_bad_option_ends_with_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    source = write_sources(tmp_path / "source", files=2, shards=1)
    result = CliRunner().invoke(
        train_app, ["corpus", str(source), "--into", str(tmp_path / "out"), "--workers", "1", *options]
    )
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_builds_the_same_corpus(tmp_path: Path) -> None:
    source = write_sources(tmp_path / "source")
    assert run(source, tmp_path / "here", "--name", "c", "--workers", "1").returncode == 0
    done = run(source, tmp_path / "there", "--name", "c", "--executor", "ray", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "there") == tree(tmp_path / "here")
