"""The commands `where` and `clean`: what this program keeps on this machine, and its removal.

Owns the list of the folders that it writes to by itself. What the user has it write elsewhere (an index, a
trained model) is the user's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lsp.cli.common import PROGRAM, JsonOption


@dataclass(frozen=True)
class KeptFolder:
    """A folder or file of the program's own, which need not exist."""

    what: str
    path: Path
    fetched_again: bool = False  # or made again: removing it loses nothing but time
    but: Path | None = None  # a folder in it that is listed by itself

    @property
    def n_bytes(self) -> int:
        """What its files hold. Links are counted as what they are, not as what they lead to."""
        total = 0
        for file in (self.path, *self.path.rglob("*")):
            in_another = self.but is not None and file.is_relative_to(self.but)
            if not in_another and (file.is_symlink() or file.is_file()):
                total += file.lstat().st_size
        return total


def everything_kept() -> list[KeptFolder]:
    """All that the program keeps for this user, by kind."""
    from attribution.store.open import default_index_folder
    from lsp.settings.config_sources import default_user_file
    from model.local import user_folders

    logs, state = user_folders.log_folder(), user_folders.state_folder()
    return [
        KeptFolder("settings", default_user_file()),
        KeptFolder("fetched models", user_folders.cache_folder(), fetched_again=True),
        KeptFolder("index of sources", default_index_folder()),
        KeptFolder("logs", logs, fetched_again=True),
        # On Linux the logs lie in it.
        KeptFolder("notices", state, but=logs if logs.is_relative_to(state) else None),
        KeptFolder("sockets of engines", user_folders.runtime_folder()),
    ]


def where(as_json: JsonOption = False) -> None:
    """Show where settings, models, the index, logs and sockets lie, and their size."""
    kept = everything_kept()
    if as_json:
        rows = [{"what": one.what, "path": str(one.path), "bytes": one.n_bytes} for one in kept]
        typer.echo(json.dumps(rows, indent=2))
        return
    _show(kept)


def clean(
    remove_all: Annotated[
        bool,
        typer.Option("--all", help="Settings and the index of sources too."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove what this program keeps: fetched models and logs, or with --all everything. Asks first."""
    chosen = [kept for kept in everything_kept() if (remove_all or kept.fetched_again) and kept.path.exists()]
    if not chosen:
        typer.echo("Nothing is kept.")
        return
    _show(chosen)
    if not yes:
        typer.confirm("Remove these?", abort=True)
    for kept in chosen:
        if kept.path.is_dir():
            shutil.rmtree(kept.path, ignore_errors=True)
        else:
            kept.path.unlink(missing_ok=True)
    left = [str(kept.path) for kept in chosen if kept.path.exists()]
    if left:
        typer.echo(
            f"Could not remove {', '.join(left)}: is a file of it in use, or another user's?", err=True
        )
        raise typer.Exit(1)
    if remove_all:
        typer.echo(
            f"Removed. `uv tool uninstall {PROGRAM}` or `pipx uninstall {PROGRAM}` removes the program; "
            "an engine that still runs ends by itself."
        )


def _show(kept: Iterable[KeptFolder]) -> None:
    from lsp.cli.terminal import print_table, sizes_table

    print_table(sizes_table([(one.what, one.path, one.n_bytes) for one in kept]))
