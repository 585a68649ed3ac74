"""The user's own project: known by its repository, or by where its files were read from."""

from pathlib import Path

import pytest

from attribution.source import Source
from attribution.sources.own import OwnProject, OwnProjects
from attribution.sources.provenance import origin_of

REMOTE = '[remote "origin"]\n    url = git@github.com:Octo/Mine.git\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    (root / ".git").mkdir(parents=True)
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (root / "src").mkdir()
    (root / "vendored.zip").touch()
    return root


def test_a_project_is_known_by_its_remote(project: Path) -> None:
    (project / ".git" / "config").write_text(REMOTE)
    own = OwnProjects().of(project / "src" / "a.py")
    assert own is not None
    assert own.holds(Source(repository="octo/mine", path="b.py", revision="another"))
    assert not own.holds(Source(repository="octo/other", path="b.py"))


@pytest.mark.parametrize(
    ("origin", "path", "is_own"),
    [
        (".", "src/a.py", True),
        ("src", "a.py", True),
        ("..", "mine/src/a.py", True),
        ("..", "other/a.py", False),
        ("vendored.zip", "a.py", False),
        ("../elsewhere", "a.py", False),
    ],
)
def test_a_project_is_known_by_its_place(project: Path, origin: str, path: str, is_own: bool) -> None:
    own = OwnProject(root=project, repository=None)
    place = (project / origin).resolve()
    assert own.holds(Source(repository="mine", path=path, origin=origin_of(str(place)))) is is_own


def test_a_file_outside_of_any_project_has_none(tmp_path: Path) -> None:
    assert OwnProjects().of(tmp_path / "a.py") is None
