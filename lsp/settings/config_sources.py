"""Where settings come from besides the editor: the user's file, the project's file, the environment.

Reads files into `lsp.settings.settings.Layer`s, the weakest first. Knows the places and TOML. What a key
means, and which keys a project may set, is known to `lsp.settings.settings`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from lsp.settings.settings import Effective, SettingsLayer, environment_layer, resolve
from model.local.listen import TOKEN_VARIABLE
from model.local.small_files import read_small_toml
from model.local.user_folders import APPLICATION

USER_FILE_NAME = "config.toml"
PROJECT_FILE_NAME = ".starcoder.toml"
PYPROJECT = "pyproject.toml"
EDITOR = "editor"


@dataclass(frozen=True, kw_only=True)
class ConfigSources:
    """What the files and the environment say; `messages` name the files that cannot be read."""

    files: tuple[SettingsLayer, ...]
    environment: SettingsLayer
    messages: tuple[str, ...] = ()

    def with_project(self, layers: Sequence[SettingsLayer], messages: Sequence[str]) -> ConfigSources:
        """The same with other projects' files, and what is wrong with those."""
        trusted = tuple(layer for layer in self.files if layer.trusted)
        return replace(self, files=(*trusted, *layers), messages=(*self.messages, *messages))

    def resolve(self, editor: SettingsLayer | None = None) -> Effective:
        """Merge the layers: defaults, user file, project file, editor, environment. The later one wins."""
        merged = resolve([*self.files, *([editor] if editor else []), self.environment])
        return Effective(
            settings=merged.settings,
            origins=merged.origins,
            messages=(*self.messages, *merged.messages),
        )


def editor_layer(values: object, *, trusted: bool = True) -> SettingsLayer:
    """What an editor has set; one that came over a port may be anybody's."""
    return SettingsLayer(source=EDITOR, values=values, trusted=trusted, author="a client on a port")


def default_user_file() -> Path:
    """The settings file of this user, `~/.config/starcoder-lsp/config.toml` on Linux."""
    return user_config_path(APPLICATION, appauthor=False) / USER_FILE_NAME


def read_sources(
    folder: Path | None, environ: Mapping[str, str], *, user_file: Path | None = None
) -> ConfigSources:
    """Read what applies to a workspace folder (None: to no workspace in particular).

    A missing file is passed over; a file that cannot be read becomes a message that names it.
    """
    messages: list[str] = []
    user_path = user_file or default_user_file()
    layers = [SettingsLayer(source=str(user_path), values=_read_toml(user_path, messages))]
    if folder is not None:
        layers += read_project(folder, messages)
    return ConfigSources(
        files=tuple(layers),
        environment=environment_layer(environ, ignore=(TOKEN_VARIABLE,)),
        messages=tuple(messages),
    )


def read_project(folder: Path, messages: list[str]) -> tuple[SettingsLayer, ...]:
    """The layers of the project files of a folder, the outermost first: what one of them excludes, none of
    the inner ones lets out. Of two files in one folder, ours counts alone."""
    layers: dict[Path, SettingsLayer] = {}
    for file in project_files(folder):
        if file.parent in layers or (values := _read_toml(file, messages)) is None:
            continue
        source = str(file)
        if file.name == PYPROJECT:
            tool = values.get("tool")
            if not isinstance(tool, dict) or "starcoder" not in tool:
                continue
            source, values = f"{file} [tool.starcoder]", tool["starcoder"]
        layers[file.parent] = SettingsLayer(source=source, values=values, trusted=False)
    return tuple(reversed(layers.values()))


def project_files(folder: Path) -> Iterator[Path]:
    """Where a project's settings may stand: from the folder upwards, not beyond the repository."""
    for place in (folder, *folder.parents):
        yield place / PROJECT_FILE_NAME
        yield place / PYPROJECT
        if os.path.lexists(place / ".git"):
            return


def _read_toml(path: Path, messages: list[str]) -> dict[str, Any] | None:
    try:
        return read_small_toml(path, own=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        messages.append(f"{path} cannot be read and is passed over: {reason}")
        return None
