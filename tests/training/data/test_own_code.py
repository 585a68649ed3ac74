from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.training.own_repository import KEY, repository, write
from training.data.own_code import DUPLICATE, IGNORED, NOT_TEXT, SECRET, files_of, read_own_code
from training.errors import PackingError


def test_what_is_ignored_hidden_or_secret_is_not_read(tmp_path: Path) -> None:
    code = read_own_code(repository(tmp_path / "my-project"))
    paths = {one.path for one in code.documents}
    assert {"src/kept.log.py", "src/part_1/local.py", "src/part_0/file_2.py"} <= paths
    absent = {
        "build/made.py",
        "src/a.log.py",
        "src/part_0/local.py",
        "src/.hidden/file.py",
        "src/secrets.toml",
    }
    assert not absent & paths
    assert len(paths) == 40 + 2
    assert (code.left_out[IGNORED], code.left_out[SECRET]) == (3, 1)
    assert (code.left_out[NOT_TEXT], code.left_out[DUPLICATE]) == (1, 1)
    assert {one.repository for one in code.documents} == {"my-project"}


def test_keys_are_replaced(tmp_path: Path) -> None:
    code = read_own_code(repository(tmp_path))
    (with_key,) = (one.text for one in code.documents if one.path == "src/part_1/local.py")
    assert KEY not in with_key
    assert "<KEY>" in with_key
    assert code.replaced["key"] == 1


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_gitignore_is_read_as_git_reads_it(tmp_path: Path) -> None:
    folder = repository(tmp_path / "project")
    write(
        folder / ".gitignore",
        "/build/\n*.log.py\n!kept.log.py\ndocs/*\n!docs/api\nsrc/**/file_3*.py\n# c\n\\#x\n",
    )
    for name in ("docs/a.py", "docs/api/b.py", "deep/build/c.py", "deep/file_3.py", "#x"):
        write(folder / name, f"x = '{name}'\n")
    (folder / "src" / "secrets.toml").unlink()  # which git does not know to be one
    shutil.rmtree(folder / "src" / ".hidden")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    write(folder / ".git" / "info" / "exclude", "bytes.py\n")
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard", "-z"],
        cwd=folder,
        check=True,
        capture_output=True,
    ).stdout.decode()
    ours = {path.relative_to(folder).as_posix() for path in files_of(folder, Counter())}
    assert ours == set(listed.rstrip("\0").split("\0"))


def test_files_are_held_out_by_their_paths(tmp_path: Path) -> None:
    code = read_own_code(repository(tmp_path / "a"))
    train, held_out = code.split()
    assert not {one.path for one in train} & {one.path for one in held_out}
    assert len(train) + len(held_out) == len(code.documents)
    share = sum(len(one.text) for one in held_out) / sum(len(one.text) for one in code.documents)
    assert 0.05 < share <= 0.1
    write(tmp_path / "a" / "src" / "more.py", "more = 1\n" * 9)
    again = {one.path for one in read_own_code(tmp_path / "a").split()[1]}
    assert len(again & {one.path for one in held_out}) >= len(held_out) - 1


def test_a_folder_without_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackingError, match="is not a folder"):
        read_own_code(tmp_path / "missing")
    write(tmp_path / "only.py", "x = 1\n" * 9)
    write(tmp_path / "bytes.bin", "x")
    with pytest.raises(PackingError, match=r"1 file\(s\).*not source code"):
        read_own_code(tmp_path).split()
