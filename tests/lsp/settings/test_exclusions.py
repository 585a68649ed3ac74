"""What is never read: secret files, what git ignores, languages that are switched off."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from lsp.settings.exclusions import Exclusions, global_ignore_file, repository_root
from lsp.settings.settings import Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".git" / "info").mkdir(parents=True)
    return tmp_path


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def default(root: Path) -> Exclusions:
    return Exclusions.from_settings(Settings(), roots=[root], environ={})


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.local",
        "config/.env.production",
        "server.pem",
        "tls/server.KEY",
        "ca.crt",
        "ca.cert",
        ".dev.vars",
        "secrets.yml",
        "config/secrets.yaml",
        "client.p12",
        "id_rsa",
        "id_ed25519.pub",
        ".npmrc",
        ".pypirc",
        "credentials",
        "credentials.json",
        ".ssh/config",
        ".aws/config",
        "prod.tfvars",
        ".git/config",
    ],
)
def test_secret_files_are_excluded_by_default(root: Path, name: str) -> None:
    assert default(root).reason(root / name, language="plaintext") is not None


@pytest.mark.parametrize(
    "name", ["main.py", "environment.py", "keys.py", "src/credentials.py", "monkey.py", "secrets.py", "pem.c"]
)
def test_ordinary_files_are_not(root: Path, name: str) -> None:
    assert default(root).reason(root / name, language="python") is None


def test_secret_files_are_excluded_outside_of_any_workspace(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("home")
    assert default(root).reason(elsewhere / ".ssh" / "config") is not None
    assert default(root).reason(elsewhere / "main.py") is None


def test_the_reason_names_pattern_and_place(root: Path) -> None:
    write(root / "sub" / ".gitignore", "*.log\n")
    exclusions = default(root)
    assert exclusions.reason(root / ".env") == '"**/.env*" in exclude.globs'
    reason = exclusions.reason(root / "sub" / "a.log")
    assert reason == f'"*.log" in {root / "sub" / ".gitignore"}'


def test_a_link_with_an_innocent_name_leads_nowhere(root: Path) -> None:
    secret = write(root / ".env")
    link = root / "notes.txt"
    link.symlink_to(secret)
    assert default(root).reason(link) is not None


def test_users_globs_take_the_place_of_ours_and_may_be_anchored_or_negated(root: Path) -> None:
    exclusions = Exclusions(globs=["/generated/", "*.sql", "!keep.sql"], roots=[root])
    assert exclusions.reason(root / "generated" / "a.py") is not None
    assert exclusions.reason(root / "src" / "generated" / "a.py") is None
    assert exclusions.reason(root / "a.sql") is not None
    assert exclusions.reason(root / "keep.sql") is None
    assert exclusions.reason(root / ".env") is None


def test_languages_are_switched_off_also_without_a_file(root: Path) -> None:
    exclusions = Exclusions(disabled_languages=["markdown"], roots=[root])
    assert "markdown" in (exclusions.reason(None, language="markdown") or "")
    assert exclusions.reason(None, language="python") is None
    # Its text may still serve others as context.
    assert exclusions.file_reason(root / "README.md") is None


def test_ignore_files_are_read_again_when_they_change(root: Path) -> None:
    ignore = write(root / ".gitignore", "*.log\n")
    exclusions = default(root)
    assert exclusions.reason(root / "a.log") is not None
    write(ignore, "# nothing ignored any more\n")
    assert exclusions.reason(root / "a.log") is None
    ignore.unlink()
    assert exclusions.reason(root / "a.log") is None
    write(root / "deep" / ".gitignore", "a.log\n")
    assert exclusions.reason(root / "deep" / "a.log") is not None


def test_info_exclude_and_the_users_own_ignore_file(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(root / ".git" / "info" / "exclude", "scratch/\n")
    home = tmp_path_factory.mktemp("home")
    write(home / ".config" / "git" / "ignore", "*.swp\n")
    exclusions = Exclusions.from_settings(Settings(), roots=[root], environ={"HOME": str(home)})
    assert exclusions.reason(root / "scratch" / "a.py") is not None
    assert exclusions.reason(root / "a.swp") is not None
    assert global_ignore_file({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path("/x/git/ignore")
    assert global_ignore_file({}) is None


def test_a_linked_work_tree_finds_the_repositorys_exclude(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(root / ".git" / "info" / "exclude", "scratch/\n")
    write(root / ".git" / "worktrees" / "w" / "commondir", "../..\n")
    tree = tmp_path_factory.mktemp("tree")
    write(tree / ".git", f"gitdir: {root / '.git' / 'worktrees' / 'w'}\n")
    assert repository_root(tree / "a.py") == tree
    assert Exclusions(roots=[tree]).reason(tree / "scratch" / "a.py") is not None


def test_without_a_repository_the_workspaces_ignore_files_count(tmp_path: Path) -> None:
    write(tmp_path / "a" / ".gitignore", "*.log\n")
    inside = Exclusions(roots=[tmp_path / "a"])
    assert inside.reason(tmp_path / "a" / "b" / "x.log") is not None
    assert inside.reason(tmp_path / "c" / "x.log") is None
    assert Exclusions(roots=[tmp_path / "a"], gitignored=False).reason(tmp_path / "a" / "x.log") is None


PATTERNS = (
    "*.log",
    "!*.log",
    "a/",
    "/a",
    "!a/",
    "b/**",
    "**/c",
    "!c",
    "a/*",
    "!a/b/",
    "/b/c",
    "d.log",
    "!d.log",
    "?",
    "[ab]/*.log",
)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed: nothing to compare with")
@pytest.mark.parametrize("seed", range(12))
def test_git_says_the_same(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, env=environment, check=True)
    folders = ["", "a", "b", "a/b", "b/c", "a/b/c"]
    for folder in folders:
        (tmp_path / folder).mkdir(exist_ok=True, parents=True)
        if rng.random() < 0.6:
            write(
                tmp_path / folder / ".gitignore",
                "\n".join(rng.choices(PATTERNS, k=rng.randrange(1, 5))) + "\n",
            )
    files = [f"{folder}/{name}".lstrip("/") for folder in folders for name in ("d.log", "c", "e.py", "a.log")]
    files = [name for name in files if not (tmp_path / name).is_dir()]
    for name in files:
        write(tmp_path / name)
    result = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=tmp_path,
        env=environment,
        input="\n".join(files),
        capture_output=True,
        text=True,
        check=False,
    )
    exclusions = Exclusions(roots=[tmp_path])
    ours = [name for name in files if exclusions.reason(tmp_path / name) is not None]
    assert ours == result.stdout.splitlines()
