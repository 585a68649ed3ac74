"""Gets what an Elasticsearch needs: a Java, and the server's archive from Maven Central. Runs no server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

VERSION = "8.19.0"
GROUP = "org.elasticsearch.distribution.integ-test-zip"
OLDEST_JAVA = 17
_FETCH_TIMEOUT_S = 900
_REMEDY = (
    "on Debian and Ubuntu: apt-get install default-jre-headless maven; on macOS: brew install openjdk@17 "
    "maven; or name a server that is there already by ELASTICSEARCH_URL"
)


class NoServerError(Exception):
    """Why no Elasticsearch can be had here, and what to do about it."""


def java_home() -> Path:
    """The folder of a Java that is new enough: JAVA_HOME's, or the one on PATH. Raises `NoServerError`."""
    named = os.environ.get("ES_JAVA_HOME") or os.environ.get("JAVA_HOME")
    java = str(Path(named) / "bin" / "java") if named else shutil.which("java")
    if java is None:
        raise NoServerError(f"Elasticsearch needs Java {OLDEST_JAVA} or later, none is on PATH; {_REMEDY}")
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoServerError(f"{java} cannot be run ({error}); {_REMEDY}") from error
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise NoServerError(
            f"{java} is Java {version[1] if version else 'of no known version'}; "
            f"Elasticsearch needs {OLDEST_JAVA} or later; {_REMEDY}"
        )
    return Path(java).resolve().parent.parent


def archive(*, fetch: bool) -> Path:
    """The server's archive in Maven's own cache, fetched if it must and may be. Raises `NoServerError`."""
    folder = _repository() / GROUP.replace(".", "/") / "elasticsearch" / VERSION
    path = folder / f"elasticsearch-{VERSION}.zip"
    if path.is_file():
        return path
    if not fetch:
        raise NoServerError("its archive has not been fetched yet; `.ci/elasticsearch` does it once")
    maven = shutil.which("mvn")
    if maven is None:
        raise NoServerError(f"Elasticsearch is fetched with Maven (mvn), and none is on PATH; {_REMEDY}")
    # Said, because Java looks for the home folder in the list of users, not in HOME.
    cache = f"-Dmaven.repo.local={_repository()}"
    command = [maven, "-q", "-B", cache, "dependency:get", f"-Dartifact={GROUP}:elasticsearch:{VERSION}:zip"]
    try:
        done = subprocess.run(
            [*command, "-Dtransitive=false"], capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise NoServerError(f"Maven did not fetch Elasticsearch within {_FETCH_TIMEOUT_S} s") from None
    if done.returncode or not path.is_file():
        raise NoServerError(
            f"Maven cannot fetch Elasticsearch {VERSION}; is there a network? It says: {done.stdout[-500:]}"
        )
    return path


def _repository() -> Path:
    """Maven's cache: where its option in MAVEN_OPTS says, else in the home folder."""
    named = re.search(r"-Dmaven\.repo\.local=(\S+)", os.environ.get("MAVEN_OPTS", ""))
    return Path(named[1]) if named else Path.home() / ".m2" / "repository"
