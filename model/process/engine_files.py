"""What an engine is started with, and the files by which windows find it.

`KEY` being a digest of the options, the runtime folder holds `engine-KEY.sock`, the engine's socket;
`engine-KEY.sock.lock`, held by the engine while it lives; `engine-KEY.start`, held while one is
looked for and started; `engine-KEY.ready`, its first line (with its port, where there are no unix
sockets); and `engine-KEY.token`, the secret for that port.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from model.catalogue.here import SUFFIX, settled
from model.catalogue.places import OLLAMA_PREFIX
from model.catalogue.published import AUTO, STARTER, published
from model.local import user_folders
from model.local.threads import available_cpus

READY = "ready: "
"""The beginning of the one line that an engine writes to its standard output once it answers."""


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """What an engine is started with. Windows with equal options share one engine."""

    model: str = AUTO
    quantize: str = "auto"
    device: str = "auto"
    threads: int | None = None
    cache_mib: int = 512
    """Memory for the keys and values of prompts."""

    def settled(self) -> LaunchOptions:
        """The same for any working folder: with the model that `auto` is here, with whole paths, and with no
        more threads than there are cores.

        An engine is found by its options: whoever starts or looks for one settles them first.
        """
        threads = None if self.threads is None else min(self.threads, available_cpus())
        return replace(self, model=_absolute(settled(self.model)), threads=threads)

    @property
    def key(self) -> str:
        """A short name for these options, the same in every process."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def arguments(self) -> list[str]:
        """As arguments of `starcoder-lsp engine`."""
        given = ["--model", self.model, "--quantize", self.quantize, "--device", self.device]
        given += ["--cache-mib", str(self.cache_mib)]
        return given if self.threads is None else [*given, "--threads", str(self.threads)]


@dataclass(frozen=True, kw_only=True)
class EngineFiles:
    """The paths of one engine, in a runtime folder that is the user's alone."""

    folder: Path
    log: Path
    key: str

    @classmethod
    def of_user(cls, options: LaunchOptions) -> EngineFiles:
        """Where the engine for these options has its files. Makes the folders."""
        log = user_folders.log_folder() / f"engine-{options.key}.log"
        return cls(folder=user_folders.runtime_folder(), log=log, key=options.key)

    @classmethod
    def inside(cls, folder: Path, options: LaunchOptions) -> EngineFiles:
        """All files in one folder, for tests and for users who want it so."""
        private = user_folders.private_folder(folder)
        return cls(folder=private, log=private / f"engine-{options.key}.log", key=options.key)

    @property
    def socket(self) -> Path:
        """The engine's unix socket."""
        return self.folder / f"engine-{self.key}.sock"

    @property
    def start_lock(self) -> Path:
        """Held while an engine is looked for and started."""
        return self.folder / f"engine-{self.key}.start"

    @property
    def ready(self) -> Path:
        """The engine's standard output."""
        return self.folder / f"engine-{self.key}.ready"

    @property
    def token(self) -> Path:
        """The secret for an engine that listens on a port."""
        return self.folder / f"engine-{self.key}.token"

    def ready_address(self) -> str | None:
        """Where the engine said it listens (`unix:PATH` or a URL), None before it has said so."""
        try:
            line, newline, _ = self.ready.read_text(encoding="utf-8").partition("\n")
        except FileNotFoundError:
            return None
        if not newline or not line.startswith(READY):
            return None
        return line.removeprefix(READY).split(" model=")[0]

    def log_tail(self, n_lines: int = 20) -> list[str]:
        """The log's last lines that are not blank."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [line for line in text.splitlines() if line.strip()][-n_lines:]


def _absolute(model: str) -> str:
    """A file's or folder's name made independent of the working folder, which is not the engine's."""
    if model.startswith(OLLAMA_PREFIX):
        return model
    is_path = model.startswith((".", "~", os.sep)) or model.count("/") > 1 or "\\" in model
    is_path |= model.endswith(SUFFIX)
    # `m/base` may be a folder or a Hugging Face id: what is here comes first.
    is_path |= model != STARTER and published(model) is None and Path(model).is_dir()
    return str(Path(model).expanduser().absolute()) if is_path else model
