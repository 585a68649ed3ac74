"""What `starcoder-lsp doctor` looks at: each check says what it found and, if need be, the remedy.

Owns the checks; does not know how they are shown. A check never raises: a failure is its finding.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from lsp.cli.checks import Check, Verdict
from lsp.cli.doctor_device import check_device
from lsp.settings.settings import Effective, Settings
from lsp.sources.store import AttributionStore, Where
from model.errors import EngineUnavailableError, ModelError, RequestError
from model.version import DISTRIBUTION, package_version

if TYPE_CHECKING:
    from model.client.client import CompletionClient
    from model.start.header import Header
    from model.weights.hub import ResolvedModel

# Completions depend on these; every bug report needs their versions.
_LIBRARIES = ("tokenizers", "safetensors", "pygls", "lsprotocol", "starlette", "uvicorn", "httpx")
# What extras bring; shown where it is.
_EXTRAS = ("torch", "transformers", "rapidfuzz", "elasticsearch")

# Programs on the PATH and where docs/editors.md says how to set them up.
_EDITORS = {
    "nvim": "Neovim",
    "emacs": "Emacs",
    "hx": "Helix",
    "vim": "Vim",
    "code": "VS Code",
    "zed": "Zed",
}


@dataclass(frozen=True, kw_only=True)
class LocalModel:
    """The model on this machine, or why there is none. Neither is set where a server's model is used."""

    resolved: ResolvedModel | None = None
    header: Header | None = None
    error: str = ""


async def examine(effective: Effective, environ: Mapping[str, str]) -> list[Check]:
    """All checks, in the order in which a person would ask."""
    settings = effective.settings
    model = find_model(settings)
    return [
        check_installation(),
        check_libraries(),
        *check_settings(effective.messages),
        check_model(settings, model),
        *check_licence(model),
        check_device(settings, model.header),
        await check_engine(settings),
        check_index(settings),
        check_editors(environ),
    ]


def find_model(settings: Settings) -> LocalModel:
    """The local model's files, read as far as an engine reads them before the weights; nothing is fetched."""
    if settings.engine.url is not None:
        return LocalModel()
    from model.start.header import read_header
    from model.weights.hub import resolve

    try:
        resolved = resolve(settings.model, offline=True)
        header = read_header(resolved.folder)
    except ModelError as error:
        return LocalModel(error=str(error))
    return LocalModel(resolved=resolved, header=header)


def check_installation() -> Check:
    """This program's version and what it runs on."""
    return Check(
        name="installation",
        verdict=Verdict.GOOD,
        finding=f"{DISTRIBUTION} {package_version()}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}",
    )


def check_libraries(names: Sequence[str] = _LIBRARIES) -> Check:
    """The versions of the libraries, without importing them."""
    versions = {name: _version(name) for name in names}
    versions |= {name: version for name in _EXTRAS if (version := _version(name)) is not None}
    missing = [name for name, version in versions.items() if version is None]
    return Check(
        name="libraries",
        verdict=Verdict.PROBLEM if missing else Verdict.GOOD,
        finding=", ".join(f"{name} {version or 'is missing'}" for name, version in versions.items()),
        remedy=f"install {' '.join(missing)}, or {DISTRIBUTION} anew" if missing else "",
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_settings(messages: Sequence[str]) -> list[Check]:
    """What was wrong with the settings, one finding each."""
    if not messages:
        return [Check(name="settings", verdict=Verdict.GOOD, finding="understood")]
    remedy = f"`{DISTRIBUTION} config` shows what is in force instead"
    return [
        Check(name="settings", verdict=Verdict.PROBLEM, finding=message, remedy=remedy)
        for message in messages
    ]


def check_model(settings: Settings, model: LocalModel) -> Check:
    """Whether the model's files are here and whole, and its size."""
    if settings.engine.url is not None:
        finding = f"whatever {settings.engine.url} serves"
        return Check(name="model", verdict=Verdict.GOOD, finding=finding)
    if model.resolved is None or model.header is None:
        return Check(name="model", verdict=Verdict.PROBLEM, finding=settings.model, remedy=model.error)
    folder, config = model.resolved.folder, model.header.config
    files = [folder] if folder.is_file() else folder.glob("*.safetensors")
    n_bytes = sum(path.stat().st_size for path in files)
    return Check(
        name="model",
        verdict=Verdict.GOOD,
        finding=f"{model.resolved.name}: {config.n_parameters / 1e6:,.1f} M parameters, context of "
        f"{config.n_positions:,} tokens, {n_bytes / 1e6:,.0f} MB in {folder}",
    )


def check_licence(model: LocalModel) -> list[Check]:
    """The licence of the local model, and what it restricts."""
    if model.resolved is None:
        return []
    licence, restrictions = model.resolved.license, model.resolved.restrictions
    if licence is None:
        finding, remedy = "not stated by the model's files", "read it where the model comes from"
        return [Check(name="licence", verdict=Verdict.NOTE, finding=finding, remedy=remedy)]
    finding = f"{licence} (of the model)"
    if restrictions is None:
        return [Check(name="licence", verdict=Verdict.GOOD, finding=finding)]
    return [Check(name="licence", verdict=Verdict.NOTE, finding=f"{finding}. {restrictions}")]


async def check_engine(settings: Settings) -> Check:
    """Whether the engine answers, and completes. A local one need not run: it starts on demand."""
    from model.client.client import prove

    async with _client(settings) as (client, address, log):
        if client is None:
            return Check(
                name="engine",
                verdict=Verdict.GOOD,
                finding="not running; the first completion starts it",
                remedy=f"its last log is {log}" if log is not None and log.exists() else "",
            )
        try:
            health = await client.health()
            if not health.is_proof:
                await prove(client)
        except RequestError as error:
            finding = f"{address} answers, and completes nothing"
            return Check(name="engine", verdict=Verdict.PROBLEM, finding=finding, remedy=str(error))
        except EngineUnavailableError as error:
            return Check(
                name="engine",
                verdict=Verdict.PROBLEM,
                finding=f"{address} does not answer",
                remedy=str(error) if log is None else f"{error}; see {log}",
            )
    version = f", version {health.version}" if health.version else ""
    return Check(
        name="engine", verdict=Verdict.GOOD, finding=f"{health.model} at {address}{version}: {health.status}"
    )


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[tuple[CompletionClient | None, str, Path | None]]:
    """A client of the engine, its address, and its log if it is ours. No engine is started."""
    from lsp.link.engines import engine_of, launch_options
    from model.client.client import EngineClient
    from model.process.process import EngineProcess

    if settings.engine.url is not None:
        engine = engine_of(settings)
        try:
            yield await engine.ensure(lambda message: None), settings.engine.url, None
        finally:
            await engine.aclose()
        return
    files = EngineProcess(launch_options(settings)).files
    if not files.socket.exists():
        yield None, "", files.log
        return
    client = EngineClient(unix_path=files.socket)
    try:
        yield client, f"unix:{files.socket}", files.log
    finally:
        await client.aclose()


def check_index(settings: Settings) -> Check:
    """Where attribution is looked up, and how much there is."""
    store = AttributionStore(Where.of(settings))
    found = store.describe()
    store.close()
    on_match = settings.attribution.on_match
    if found.kind == "index":
        finding = f"{found.documents:,} files in {found.index}; suggestions that are copies: {on_match}"
        return Check(name="attribution", verdict=Verdict.GOOD, finding=finding, remedy=found.caveat)
    if found.kind == "portrait":
        finding = (
            f"the model's own portrait of {found.documents:,} files, which says what was seen, not where"
        )
        return Check(name="attribution", verdict=Verdict.NOTE, finding=finding, remedy=found.lack)
    # The user has asked for an index, and there is none.
    wanted = settings.attribution.index is not None or settings.attribution.withholds
    verdict = Verdict.PROBLEM if wanted else Verdict.NOTE
    return Check(name="attribution", verdict=verdict, finding="nothing is looked up", remedy=found.lack)


def check_editors(environ: Mapping[str, str]) -> Check:
    """The editors on the PATH."""
    path = environ.get("PATH", "")
    found = [name for program, name in _EDITORS.items() if shutil.which(program, path=path)]
    return Check(
        name="editors",
        verdict=Verdict.GOOD if found else Verdict.NOTE,
        finding=", ".join(found) if found else "none that is known is on the PATH",
        remedy="docs/editors.md says what to put into their settings",
    )
