"""What people start by hand says what is missing; with Docker and without it is the same version."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attribution import elasticsearch_archive as archives
from tests.attribution.elasticsearch_archive import VERSION, NoServerError

ROOT = Path(__file__).resolve().parents[2]


def test_compose_starts_the_tested_version_on_this_machine_only() -> None:
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert f"image: elasticsearch:{VERSION}\n" in compose
    assert "- 127.0.0.1:9200:9200\n" in compose


def test_a_missing_java_or_maven_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("ES_JAVA_HOME", raising=False)
    with pytest.raises(NoServerError, match=r"needs Java 17.*apt-get install default-jre-headless maven"):
        archives.java_home()
    monkeypatch.setenv("MAVEN_OPTS", f"-Dmaven.repo.local={tmp_path}")
    with pytest.raises(NoServerError, match=r"\.ci/elasticsearch"):
        archives.archive(fetch=False)
    with pytest.raises(NoServerError, match=r"Maven \(mvn\).*apt-get install"):
        archives.archive(fetch=True)


def test_an_old_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.delenv("ES_JAVA_HOME", raising=False)
    with pytest.raises(NoServerError, match="is Java 11; Elasticsearch needs 17"):
        archives.java_home()


def test_a_port_in_use_is_an_error_and_not_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "tests.attribution.elasticsearch_server", "--port", str(port)],
            cwd=ROOT,
            env=dict(os.environ),
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert f"port {port} is in use" in done.stderr
