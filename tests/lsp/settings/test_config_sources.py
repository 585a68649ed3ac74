"""Settings from the user's file, the project's file and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsp.settings.config_sources import ConfigSources, editor_layer, read_sources


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / ".git").mkdir(parents=True)
    return tmp_path / "project"


def read(project: Path | None, user: str | None = None, **environ: str) -> ConfigSources:
    """The sources, with a user file of this content."""
    user_file = Path("/nonexistent/config.toml")
    if user is not None:
        assert project is not None
        user_file = project.parent / "config.toml"
        user_file.write_text(user, encoding="utf-8")
    return read_sources(project, environ, user_file=user_file)


def test_without_files_the_defaults_hold() -> None:
    effective = read(None).resolve()
    assert effective.messages == ()
    assert set(effective.origins.values()) == {"default"}


def test_each_layer_beats_the_one_before(project: Path) -> None:
    user = "[completion]\nmaxNewTokens = 10\ntemperature = 0.1\nalternatives = 2\nmultiline = 'never'\n"
    (project / ".starcoder.toml").write_text(
        "[completion]\ntemperature = 0.2\nalternatives = 3\nmultiline = 'always'\n", encoding="utf-8"
    )
    sources = read(project, user, STARCODER_COMPLETION_MULTILINE="auto")
    effective = sources.resolve(editor_layer({"completion": {"alternatives": 4, "multiline": "always"}}))

    completion = effective.settings.completion
    assert (completion.max_new_tokens, completion.temperature) == (10, 0.2)
    assert (completion.alternatives, completion.multiline) == (4, "auto")
    assert effective.messages == ()
    origins = effective.origins
    assert origins["completion.maxNewTokens"] == str(project.parent / "config.toml")
    assert origins["completion.temperature"] == str(project / ".starcoder.toml")
    assert origins["completion.alternatives"] == "editor"
    assert origins["completion.multiline"] == "environment"


def test_a_table_of_pyproject_counts_and_the_own_file_comes_first(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        "[tool.starcoder.completion]\nalternatives = 2\n", encoding="utf-8"
    )
    assert read(project).resolve().settings.completion.alternatives == 2
    (project / ".starcoder.toml").write_text("[completion]\nalternatives = 3\n", encoding="utf-8")
    assert read(project).resolve().settings.completion.alternatives == 3


def test_a_pyproject_without_our_table_leaves_the_search_going_on(project: Path) -> None:
    package = project / "packages" / "one"
    package.mkdir(parents=True)
    (package / "pyproject.toml").write_text("[project]\nname = 'one'\n", encoding="utf-8")
    (project / ".starcoder.toml").write_text("[completion]\nalternatives = 3\n", encoding="utf-8")
    assert read(package).resolve().settings.completion.alternatives == 3


def test_nothing_above_the_repository_is_read(project: Path) -> None:
    (project.parent / ".starcoder.toml").write_text("[completion]\nalternatives = 3\n", encoding="utf-8")
    assert read(project).resolve().settings.completion.alternatives == 1


def test_a_project_cannot_choose_where_code_is_sent(project: Path) -> None:
    (project / ".starcoder.toml").write_text(
        "[engine]\nurl = 'https://collector.example/v1'\n", encoding="utf-8"
    )
    effective = read(project).resolve()
    assert effective.settings.engine.url is None
    (message,) = effective.messages
    assert "engine.url" in message
    assert str(project / ".starcoder.toml") in message


@pytest.mark.parametrize("content", [b"[completion\n", b"model = '\xff\xfe'\n"])
def test_a_broken_file_is_named_and_passed_over(project: Path, content: bytes) -> None:
    (project / ".starcoder.toml").write_bytes(content)
    effective = read(project, "[completion]\nalternatives = 2\n").resolve()
    assert effective.settings.completion.alternatives == 2
    (message,) = effective.messages
    assert str(project / ".starcoder.toml") in message


def test_the_token_of_the_engine_is_not_a_setting(project: Path) -> None:
    assert read(project, STARCODER_ENGINE_TOKEN="secret").resolve().messages == ()
    (message,) = read(project, STARCODER_ENGINE_TREADS="4").resolve().messages
    assert "STARCODER_ENGINE_TREADS" in message
