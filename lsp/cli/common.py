"""What several commands share: options, settings in force, the parts that answer, Ctrl+C, safe output."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model.local.redaction import without_credentials

if TYPE_CHECKING:
    from lsp.server.parts import Parts
    from lsp.settings.settings import Effective, Settings
    from lsp.status.observer import Observer

PROGRAM = "starcoder-lsp"

ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME|FOLDER|FILE|HF_ID", help="Instead of the model that is set."),
]
# Long enough to fetch weights: no editor is waiting.
_PATIENCE_S = 600.0

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def effective_settings(folder: Path, model: str | None, *, quiet: bool = False) -> Effective:
    """The settings for a folder, without an editor's. What is wrong with them goes to standard error."""
    from lsp.settings.config_sources import read_sources

    effective = read_sources(folder, os.environ).resolve()
    for message in () if quiet else effective.messages:
        sys.stderr.write(f"{PROGRAM}: {without_credentials(message)}\n")
    if model is None:
        return effective
    return replace(effective, settings=replace(effective.settings, model=model))


def parts_here(settings: Settings, observer: Observer | None = None) -> Parts:
    """The parts that answer an editor, for a command in this folder. Close them in the loop of their use."""
    from lsp.documents.documents import Documents
    from lsp.server.parts import Parts
    from lsp.settings.by_place import PlaceSettings
    from lsp.settings.config_sources import read_sources
    from lsp.status.observer import Observer

    documents = Documents(Path.cwd().as_uri(), folders=[], encoding="utf-16")
    # A file may lie in another project than this folder: what that one excludes holds too.
    places = PlaceSettings(read_sources(None, os.environ), change=partial(_as_there, settings))
    return Parts(settings, documents, observer or Observer(), patience_s=_PATIENCE_S, settings_at=places.at)


def _as_there(settings: Settings, there: Settings) -> Settings:
    """The settings with what the files' own project says of them: what is excluded, what copies become."""
    on_match = replace(settings.attribution, on_match=there.attribution.on_match)
    return replace(settings, exclude=there.exclude, attribution=on_match)


def run_until_interrupted(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine; Ctrl+C ends it in good order."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def visible(text: str) -> str:
    """The text with what a terminal would obey, or nobody would see, as escapes."""
    from lsp.postprocess.shape import UNSEEN

    return UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
