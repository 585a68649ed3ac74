"""Commands called in a folder that holds modules with the names of the standard library and of dependencies.

None of them may run: neither in the command's own process nor in one that it starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import model
from tests.reliability.outcome import Outcome
from tests.training.tiny import document, write_documents

STANDARD = (
    *(
        "abc",
        "argparse",
        "array",
        "ast",
        "asyncio",
        "base64",
        "bisect",
        "codecs",
        "collections",
        "concurrent",
    ),
    *(
        "contextlib",
        "copy",
        "ctypes",
        "dataclasses",
        "datetime",
        "enum",
        "functools",
        "gc",
        "hashlib",
        "heapq",
    ),
    *("io", "json", "logging", "multiprocessing", "operator", "os", "pathlib", "pickle", "random", "re"),
    *("runpy", "select", "shutil", "signal", "site", "socket", "sqlite3", "ssl", "string", "struct"),
    *("subprocess", "tempfile", "threading", "time", "types", "typing", "warnings", "weakref", "zlib"),
)
OTHERS = (
    *("attribution", "datatrove", "h11", "httpx", "huggingface_hub", "jinja2", "lsp", "lsprotocol", "model"),
    *("numpy", "platformdirs", "pyarrow", "pydantic", "pygls", "rapidfuzz", "rich", "safetensors"),
    *("sitecustomize", "starlette", "tokenizers", "torch", "training", "typer", "usercustomize", "uvicorn"),
    *("yaml", "zstandard"),
)
_PLANTED = 'open({ran!r}, "a").write({name!r} + "\\n")\nraise SystemExit("planted")\n'
_COMMAND_S = 300

# Those that start processes: workers, an engine. `{}` is the folder.
STARTING = (
    ("index", "build", ".", "--into", "../index", "--processes", "2"),
    ("check", "source", "--index", "../index", "--jobs", "2"),
    ("train", "pack", "documents/train", "../packed", "--tokenizer", "..", "--processes", "2"),
    ("train", "tokenizer", "documents", "--into", "../tokenizer-2", "--vocab-size", "275"),
    ("engine", "--model", "starter", "--listen", "unix:../engine.sock", "--idle-minutes", "0.001"),
)
OTHER_COMMANDS = (
    ("--version",),
    ("config",),
    ("doctor",),
    ("model", "list"),
    ("model", "where"),
    ("index", "info", "--into", "../index"),
    ("index", "verify", "--into", "../index"),
    ("index", "compact", "--into", "../index"),
    ("index", "remove", "--path", "*a3*", "--into", "../index"),
    ("index", "opt-outs", "list", "--into", "../index"),
    ("train", "plan", "--recipe", "starter"),
    ("train", "corpus", "--help"),
    ("eval", "--help"),
)


def plant(folder: Path) -> Path:
    """Write the modules and something to work on into `folder`; gives what one writes if it runs."""
    ran = folder.parent / "ran"
    for at, name in enumerate((*STANDARD, *OTHERS)):
        # A package or a module: both are found.
        path = folder / name / "__init__.py" if at % 2 else folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_PLANTED.format(ran=str(ran), name=name))
    for name in ("source", "documents/train"):
        (folder / name).mkdir(parents=True)
    for at in range(40):
        (folder / f"source/a{at}.py").write_text(
            f"def f{at}(x):\n    return [x + {at} for x in range({at})]\n"
        )
    for split, files in (("train", 2), ("held_out", 1)):
        write_documents(folder / "documents" / split, [document(at) for at in range(8)], files=files)
    shutil.copy(Path(model.__file__).parent / "starter" / "tokenizer.json", folder.parent)
    return ran


def run_in(folder: Path, command: Sequence[str], home: Path) -> subprocess.CompletedProcess[bytes]:
    """A command as its console script starts it, by a user whose home is `home`."""
    script = [sys.executable, str(_script(home)), *command]
    places = {f"XDG_{kind}_HOME": str(home / kind) for kind in ("CONFIG", "STATE", "CACHE", "DATA")}
    environ = {**os.environ, **places, "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    environ.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        script, cwd=folder, env=environ, capture_output=True, timeout=_COMMAND_S, check=False
    )


def _script(home: Path) -> Path:
    """What pip makes of the entry point."""
    script = home / "bin" / "starcoder-lsp"
    if not script.is_file():
        script.parent.mkdir()
        script.write_text(
            "import sys\nfrom lsp.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
        )
    return script


def run(*, seed: int, is_long: bool) -> Outcome:
    """All commands; the seed changes nothing here."""
    failures = []
    commands = (*STARTING, *OTHER_COMMANDS)
    with tempfile.TemporaryDirectory(prefix="r-") as name:
        top = Path(name)
        folder = top / "project"
        folder.mkdir()
        ran = plant(folder)
        for command in commands:
            done = run_in(folder, command, top)
            if done.returncode:
                failures.append(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.decode()[-300:]}")
            if ran.exists():
                failures.append(f"{' '.join(command)}: ran {ran.read_text().split()}")
                ran.unlink()
    return Outcome(
        figure=f"{len(commands)} commands among {len(STANDARD) + len(OTHERS)} planted modules: "
        f"{len(failures)} ran one or failed",
        failures=failures,
    )
