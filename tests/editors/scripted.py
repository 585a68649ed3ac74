"""An editor run by a script beside this file, which reports what happened; and the set-ups of the docs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "editors.md"
# Bounds a failure: the scripts give up by themselves after 90 s of waiting for one thing.
LIMIT_S = 240


@dataclass(kw_only=True)
class Session:
    """A folder to work in and the environment of its user."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, command: list[str], text: str, **variables: str) -> dict[str, Any]:
        """Run an editor whose script completes at the end of a file with this text; returns its report."""
        file, report = self.folder / "area.py", self.folder / "report.json"
        file.write_text(text, encoding="utf-8")
        report.unlink(missing_ok=True)
        own = {
            "STARCODER_PYTHON": sys.executable,
            "STARCODER_FILE": str(file),
            "STARCODER_REPORT": str(report),
        }
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | own | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert report.exists(), f"{command} left no report:\n{done.stdout}\n{done.stderr}"
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        assert "failure" not in found, f"{found['failure']}\n{done.stdout}\n{done.stderr}"
        return found

    def set_up(self, heading: str, language: str) -> Path:
        """What the document says under a heading, as a file, with our Python in place of the user's."""
        section = DOCUMENT.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
        code = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
        assert code is not None, f"docs/editors.md has no {language} under {heading!r}"
        installed = "~/.starcoder-lsp/bin/python"
        assert installed in code[1]
        path = self.folder / f"set-up.{language}"
        path.write_text(code[1].replace(installed, sys.executable), encoding="utf-8")
        return path
