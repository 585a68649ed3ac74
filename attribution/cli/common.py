"""What the commands of attribution share: which index, and errors as messages and exit codes."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from attribution.errors import AttributionError
from model.local.redaction import without_credentials

INDEX_VARIABLE = "STARCODER_ATTRIBUTION_INDEX"
FAILED = 2
# What only attribution needs.
_EXTRA = frozenset({"rapidfuzz", "zstandard", "license_expression"})


def index_url(given: str | None) -> str:
    """The index that is named, or the one in the user's data folder."""
    from attribution.store.open import default_index_folder

    return given or str(default_index_folder())


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """Where `check` looks without `--index`: the index in the settings, or else the model's portrait.

    `build` is the command that builds an index of what the model was trained on.
    """

    index: str | None = None
    model: str = ""
    portrait: Path | None = None
    build: str = "starcoder-lsp index build SOURCES…"


@contextmanager
def reported_errors() -> Iterator[None]:
    """The one place where this package's errors become a message and an exit code.

    An error that nobody expected is one too: Python's own exit code for it, 1, would say "match".
    """
    try:
        yield
    except AttributionError as error:
        say(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from error
    except OSError as error:
        said = error.strerror or str(error)
        say(f"error: {f'{error.filename}: ' if error.filename else ''}{said}", err=True)
        raise typer.Exit(FAILED) from error
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        typer.echo(f"error: {error.name} is missing: `pip install 'starcoder-lsp[attribution]'`", err=True)
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt:
        typer.echo("interrupted; what was committed stays, and the same command goes on", err=True)
        raise typer.Exit(130) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if type(error).__module__ == "sqlite3":  # the disk's: full, read-only, damaged
            say(f"error: {error}; the index is as it was after its last commit", err=True)
        else:
            traceback.print_exc()
            say(f"error: {type(error).__name__}: {error}", err=True)
        raise typer.Exit(FAILED) from error


def say(text: str, *, err: bool = False) -> None:
    """Print a text without passwords; names of files that are not UTF-8 come out as the bytes they are."""
    text = without_credentials(text)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        typer.echo(text.encode("utf-8", "surrogateescape"), err=err)
    else:
        typer.echo(text, err=err)
