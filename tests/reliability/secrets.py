"""Secret files under every kind of name and scheme, as roots and behind links: no byte of them goes anywhere.

A server stands in for the engine and keeps what it is asked. Besides its requests, the messages to the
editor and every file that the product wrote are searched for each secret.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from pygls.exceptions import JsonRpcException

from tests.lsp.editor import Editor, editor, server_environment
from tests.lsp.fake_engine import FakeEngine, fake_engine
from tests.reliability.outcome import Outcome

_NAMES = (
    ".env .env.local prod.env .flaskenv .dev.vars local.settings.json server.pem tls.key ca.crt",
    "app.p12 id_rsa id_ed25519.pub deploy_rsa store.jks vpn.ovpn mail.asc a.kdbx secrets.yaml",
    "app-secrets.yml secret.json client_secret_1.json credentials credentials.json",
    "gcp-credentials.json service-account-1.json x-firebase-adminsdk-1.json logins.json",
    "vault_pass.txt .npmrc .yarnrc.yml .pypirc pip.conf .gem/credentials .gradle/gradle.properties",
    "auth.json .m2/settings.xml .git-credentials .config/gh/hosts.yml .netrc _netrc .pgpass .my.cnf",
    "database.yml .htpasswd .ftpconfig sftp-config.json etc/shadow wp-config.php a.tfvars",
    "terraform.tfstate .s3cfg rclone.conf .dockercfg kubeconfig .kube/config .aws/credentials",
    ".ssh/config .gnupg/pubring.kbx .docker/config.json .bash_history",
)
FILES = tuple(name for line in _NAMES for name in line.split())
SCHEMES = (
    *("file://{}", "untitled:{}", "vscode-vfs://github{}", "vscode-remote://ssh-remote%2Bh{}", "git:{}?x"),
    "vscode-notebook-cell:{}#W1",
)


def _canary(number: int) -> str:
    return f"canary{number:05}wxyz"


def _text(number: int) -> str:
    return f"FIRST = '{_canary(number)}'\n{_canary(number)} = FIRST\n"


async def _open_everywhere(ed: Editor, uri: str, number: int) -> None:
    """All that may be asked about a document; refusals are as well."""
    at = ed.open(_text(number) + "║\n", uri=uri, language="python")
    await ed.items(at, uri=uri)
    document = {"uri": uri}
    with suppress(JsonRpcException):
        await ed.request("starcoder/assist", {"kind": "explain", "textDocument": document})
    with suppress(JsonRpcException):
        await ed.command("starcoder.checkAttribution", document)


async def _open_all(home: Path, engine: FakeEngine, dice: random.Random) -> tuple[list[str], dict[int, str]]:
    """What was heard, and the place of each canary. Half of the files lie on the disk, some behind links."""
    project, places = home / "project", {}
    numbers = itertools.count()
    heard: list[str] = []
    async with editor(engine.options(), home=home, folder=project) as ed:
        plain = ed.open("VALUE = 1\nother = ║\n", uri=(project / "plain.py").as_uri())
        for name in FILES:
            for scheme in SCHEMES:
                number = next(numbers)
                path = project / f"{number}" / name
                if dice.random() < 0.5:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(_text(number))
                    if dice.random() < 0.5:
                        link = project / f"plain{number}.py"
                        os.symlink(path, link)
                        path = link if scheme.startswith("file") else path
                places[number] = scheme.format(path)
                await _open_everywhere(ed, places[number], number)
            await ed.items(plain, uri=(project / "plain.py").as_uri())
        heard = [*ed.heard.messages, *ed.heard.traces, *(json.dumps(each) for each in ed.heard.statuses)]
    return heard, places


async def _open_root(home: Path, engine: FakeEngine, number: int) -> None:
    """A workspace that itself is a folder of secrets."""
    root = home / ".ssh"
    root.mkdir(exist_ok=True)
    async with editor(engine.options(), home=home, folder=root) as ed:
        await _open_everywhere(ed, (root / "notes.py").as_uri(), number)


def _index(home: Path) -> None:
    command = [
        sys.executable,
        "-I",
        "-m",
        "lsp",
        "index",
        "build",
        "project",
        "--into",
        "the-index",
        "--processes",
        "1",
    ]
    subprocess.run(command, cwd=home, env=server_environment(home), capture_output=True, check=True)


def _indexed(home: Path) -> str:
    """All texts of the index."""
    import sqlite3

    from attribution.store.prepare import unpack

    with sqlite3.connect(home / "the-index/catalogue.sqlite") as catalogue:
        rows = catalogue.execute("SELECT packed FROM blocks").fetchall()
    catalogue.close()
    return "".join(unpack(packed).decode(errors="replace") for (packed,) in rows)


def _written(home: Path) -> str:
    """Every file that is not the workspace's own."""
    files = [path for path in home.rglob("*") if path.is_file() and "project" not in path.parts]
    return "".join(path.read_bytes().decode("latin-1") for path in files)


async def _attack(home: Path, seed: int) -> tuple[int, list[str]]:
    (home / "project").mkdir()
    (home / "project/plain.py").write_text("VALUE = 1\nother = 2\n")
    async with fake_engine() as engine:
        heard, places = await _open_all(home, engine, random.Random(seed))
        await _open_root(home, engine, 99_999)
        places[99_999] = ".ssh as a workspace"
        asked = [json.dumps(request) for request in engine.requests]
        assert asked  # the plain file was completed
    await asyncio.to_thread(_index, home)
    where = {
        "a request": asked,
        "a message": heard,
        "the index": [_indexed(home)],
        "a file": [_written(home)],
    }
    leaks = [
        f"{uri} in {kind}"
        for kind, texts in where.items()
        for number, uri in places.items()
        if any(_canary(number) in text for text in texts)
    ]
    return len(places), leaks


def run(*, seed: int, is_long: bool) -> Outcome:
    """All names by all schemes; the seed says which lie on the disk, and which behind links."""
    del is_long
    with tempfile.TemporaryDirectory(prefix="r-") as name:
        count, leaks = asyncio.run(_attack(Path(name), seed))
    return Outcome(
        figure=f"{len(FILES)} files by {len(SCHEMES)} schemes, {count} in all: {len(leaks)} leaks",
        failures=leaks,
    )
