"""What is never read: secret files, what git ignores, languages that are switched off."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from lsp.settings.exclusions import Exclusions
from lsp.settings.git_ignores import GitIgnores, default_ignore_file, git_config, repository_root
from lsp.settings.settings import Settings

NEEDS_GIT = pytest.mark.skipif(
    shutil.which("git") is None, reason="git is not installed: nothing to compare with"
)


def git(folder: Path, home: Path, *arguments: str, given: str | None = None) -> str:
    """What git says in a folder, with this home's configuration."""
    run = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment(home),
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (0, 1), run.stderr
    return run.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".git" / "info").mkdir(parents=True)
    return tmp_path


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# Git without any configuration but the repository's and this home's.
def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}


def default(root: Path, *, home: Path | None = None, **more: Any) -> Exclusions:
    ignores = GitIgnores({} if home is None else environment(home), **more)
    return Exclusions.from_settings(Settings(), roots=[root], ignores=ignores)


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
        "prod.env",
        "kubeconfig",
        ".s3cfg",
        ".netrc",
        ".pgpass",
        "wp-config.php",
        "deploy_rsa",
        "release.keystore",
        ".docker/config.json",
        ".config/gcloud/credentials.db",
        "sub/.subversion/auth/svn.simple/a",
        "k8s/db-secret.yaml",
        "client_secret_1.json",
        "filezilla/recentservers.xml",
        ".bash_history",
        "terraform.tfstate.backup",
        "etc/shadow",
    ],
)
def test_secret_files_are_excluded_by_default(root: Path, name: str) -> None:
    assert default(root).file_reason(root / name) is not None


@pytest.mark.parametrize(
    "name", ["main.py", "environment.py", "keys.py", "src/credentials.py", "monkey.py", "secrets.py", "pem.c"]
)
def test_ordinary_files_are_not(root: Path, name: str) -> None:
    assert default(root).file_reason(root / name) is None


def test_secret_files_are_excluded_outside_of_any_workspace(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("home")
    assert default(root).file_reason(elsewhere / ".ssh" / "config") is not None
    assert default(root).file_reason(elsewhere / "main.py") is None


def test_the_reason_names_pattern_and_place(root: Path) -> None:
    write(root / "sub" / ".gitignore", "*.log\n")
    exclusions = default(root)
    assert exclusions.file_reason(root / ".env") == '"**/.env*" in exclude.globs'
    reason = exclusions.file_reason(root / "sub" / "a.log")
    assert reason == f'"*.log" in {root / "sub" / ".gitignore"}'


def test_a_link_with_an_innocent_name_leads_nowhere(root: Path) -> None:
    secret = write(root / ".env")
    link = root / "notes.txt"
    link.symlink_to(secret)
    assert default(root).file_reason(link) is not None


def test_users_globs_take_the_place_of_ours_and_may_be_anchored_or_negated(root: Path) -> None:
    exclusions = Exclusions(globs=["/generated/", "*.sql", "!keep.sql"], roots=[root])
    assert exclusions.file_reason(root / "generated" / "a.py") is not None
    assert exclusions.file_reason(root / "src" / "generated" / "a.py") is None
    assert exclusions.file_reason(root / "a.sql") is not None
    assert exclusions.file_reason(root / "keep.sql") is None
    assert exclusions.file_reason(root / ".env") is None


def test_languages_are_switched_off_also_without_a_file(root: Path) -> None:
    exclusions = Exclusions(disabled_languages=["markdown"], roots=[root])
    assert "markdown" in (exclusions.language_reason("markdown") or "")
    assert exclusions.language_reason("python") is None
    # Its text may still serve others as context.
    assert exclusions.file_reason(root / "README.md") is None


def test_ignore_files_are_read_again_when_they_change(root: Path) -> None:
    ignore = write(root / ".gitignore", "*.log\n")
    exclusions = default(root)
    assert exclusions.file_reason(root / "a.log") is not None
    write(ignore, "# nothing ignored any more\n")
    assert exclusions.file_reason(root / "a.log") is None
    ignore.unlink()
    assert exclusions.file_reason(root / "a.log") is None
    write(root / "deep" / ".gitignore", "a.log\n")
    assert exclusions.file_reason(root / "deep" / "a.log") is not None


def test_info_exclude_and_the_users_own_ignore_file(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(root / ".git" / "info" / "exclude", "scratch/\n")
    home = tmp_path_factory.mktemp("home")
    write(home / ".config" / "git" / "ignore", "*.swp\n")
    exclusions = default(root, home=home)
    assert exclusions.file_reason(root / "scratch" / "a.py") is not None
    assert exclusions.file_reason(root / "a.swp") is not None
    assert default_ignore_file({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path("/x/git/ignore")
    assert default_ignore_file({}) is None


def test_a_linked_work_tree_finds_the_repositorys_exclude(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(root / ".git" / "info" / "exclude", "scratch/\n")
    write(root / ".git" / "worktrees" / "w" / "commondir", "../..\n")
    tree = tmp_path_factory.mktemp("tree")
    write(tree / ".git", f"gitdir: {root / '.git' / 'worktrees' / 'w'}\n")
    assert repository_root(tree / "a.py") == tree
    assert default(tree).file_reason(tree / "scratch" / "a.py") is not None


def test_without_a_repository_the_workspaces_ignore_files_count(tmp_path: Path) -> None:
    write(tmp_path / "a" / ".gitignore", "*.log\n")
    inside = default(tmp_path / "a")
    assert inside.file_reason(tmp_path / "a" / "b" / "x.log") is not None
    assert inside.file_reason(tmp_path / "c" / "x.log") is None
    assert Exclusions(roots=[tmp_path / "a"]).file_reason(tmp_path / "a" / "x.log") is None


@pytest.mark.parametrize("folder", [".kube", ".ssh", ".aws", ".docker", ".azure", ".gnupg", ".config/gcloud"])
def test_a_workspace_may_itself_be_a_folder_of_secrets(tmp_path: Path, folder: str) -> None:
    root = tmp_path / folder
    root.mkdir(parents=True)
    assert default(root).file_reason(root / "config") is not None
    assert default(root / "deep").file_reason(root / "deep" / "notes.md") is not None


def test_only_anchored_globs_are_relative_to_the_workspace(tmp_path: Path) -> None:
    exclusions = Exclusions(globs=["private/", "/src/*.sql", "!keep.sql"], roots=[tmp_path / "private" / "a"])
    assert exclusions.file_reason(tmp_path / "private" / "a" / "x.py") is not None
    elsewhere = Exclusions(globs=["/src/*.sql"], roots=[tmp_path])
    assert elsewhere.file_reason(tmp_path / "src" / "a.sql") is not None
    assert elsewhere.file_reason(tmp_path / "b" / "src" / "a.sql") is None


@pytest.mark.parametrize("kind", ["folder", "loop", "no permission", "no text"])
def test_an_ignore_file_that_cannot_be_read_is_passed_over_with_one_line(root: Path, kind: str) -> None:
    file = root / ".gitignore"
    if kind == "folder":
        file.mkdir()
    elif kind == "loop":
        file.symlink_to(file)
    elif kind == "no permission":
        write(file, "*.py").chmod(0)
        if os.access(file, os.R_OK):
            pytest.skip("this user may read everything")
    else:
        file.write_bytes(b"\xff\xfe*.log\n")
    write(root / "sub" / ".gitignore", "*.log\n")
    notes: list[str] = []
    exclusions = default(root, note=notes.append)
    for _ in range(2):
        assert exclusions.file_reason(root / "a.py") is None
        assert exclusions.file_reason(root / "sub" / "a.log") is not None
    assert [note.split(" cannot")[0] for note in notes] == ([] if kind == "no text" else [str(file)])


@NEEDS_GIT
@pytest.mark.parametrize("value", ["~/mine", "{home}/mine", "mine"])
def test_the_file_that_the_configuration_names_counts(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    home = tmp_path_factory.mktemp("home")
    git(tmp_path, home, "init", "-q", ".")
    exclusions = default(tmp_path, home=home)
    write(home / ".config" / "git" / "ignore", "*.swp\n")
    assert exclusions.file_reason(tmp_path / "a.swp") is not None
    write((tmp_path if value == "mine" else home) / "mine", "*.Log\n")
    git(tmp_path, home, "config", "--global", "core.excludesFile", value.format(home=home))
    assert exclusions.file_reason(tmp_path / "a.Log") is not None
    assert exclusions.file_reason(tmp_path / "a.swp") is None
    assert exclusions.file_reason(tmp_path / "a.log") is None
    git(tmp_path, home, "config", "core.ignoreCase", "true")
    assert exclusions.file_reason(tmp_path / "a.log") is not None
    assert git_config(tmp_path, environment(home)).ignores_case


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


FOLDERS = ("", "a", "b", "a/b", "b/c", "a/b/c")
NAMES = ("d.log", "c", "e.py", "a.LOG", "D.log")


def grown_tree(top: Path, rng: random.Random) -> tuple[Path, Path]:
    """A repository, work tree or submodule with ignore files of every kind: (its root, the home)."""
    home, root = top / "home", top / "tree"
    home.mkdir()
    kind = rng.choice(("repository", "work tree", "submodule"))
    main = root if kind == "repository" else top / "main"
    main.mkdir()
    git(main, home, "init", "-q", ".")
    if kind != "repository":
        git(
            main,
            home,
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "a",
        )
    if kind == "work tree":
        git(main, home, "worktree", "add", "-q", str(root))
    elif kind == "submodule":
        allow = ("-c", "protocol.file.allow=always")
        outer = top / "outer"
        outer.mkdir()
        git(outer, home, "init", "-q", ".")
        git(outer, home, *allow, "submodule", "--quiet", "add", str(main), "sub")
        root = outer / "sub"

    def lines() -> str:
        return "\n".join(rng.choices(PATTERNS, k=rng.randrange(1, 5))) + "\n"

    if rng.random() < 0.4:
        git(root, home, "config", "core.ignoreCase", rng.choice(("true", "false")))
    if rng.random() < 0.4:
        write(home / "mine", lines())
        git(root, home, "config", "--global", "core.excludesFile", "~/mine")
    if rng.random() < 0.4:
        exclude = git(root, home, "rev-parse", "--git-path", "info/exclude").strip()
        write(root / exclude, lines())
    for folder in FOLDERS:
        (root / folder).mkdir(exist_ok=True, parents=True)
        if rng.random() < 0.6:
            write(root / folder / ".gitignore", lines())
    return root, home


# `python -m tests.lsp.settings.test_exclusions` compares 500.
@NEEDS_GIT
@pytest.mark.parametrize("seed", range(6))
def test_git_says_the_same(tmp_path: Path, seed: int) -> None:
    assert differences(tmp_path, seed) == []


def differences(top: Path, seed: int) -> list[str]:
    """The files of a generated tree about which git and we disagree."""
    root, home = grown_tree(top, random.Random(seed))
    files = [f"{folder}/{name}".lstrip("/") for folder in FOLDERS for name in NAMES]
    files = [name for name in files if not (root / name).is_dir()]
    for name in files:
        write(root / name)
    told = git(root, home, "check-ignore", "--no-index", "--stdin", given="\n".join(files)).splitlines()
    exclusions = Exclusions(roots=[root], ignores=GitIgnores(environment(home)))
    ours = {name for name in files if exclusions.file_reason(root / name) is not None}
    return sorted(ours ^ set(told))


if __name__ == "__main__":
    for number in range(500):
        with tempfile.TemporaryDirectory() as folder:
            if found := differences(Path(folder), number):
                raise SystemExit(f"seed {number}: {found}")
    print("500 trees: git says the same")
