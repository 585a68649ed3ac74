"""The folders where models of this user lie: ours, the hub's cache, Ollama's, LM Studio's, llama.cpp's.

Knows nothing of what is in them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OLLAMA_PREFIX = "ollama:"
"""How the name of one of Ollama's models begins."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders to look in. Those that do not exist are passed over."""

    ours: Path | None = None
    hub: Path | None = None
    ollama: Path | None = None
    lm_studio: tuple[Path, ...] = ()
    llama_cpp: Path | None = None
    given: tuple[Path, ...] = ()

    @classmethod
    def of_this_user(cls, *, ours: Path | None = None, environment: Mapping[str, str] = os.environ) -> Places:
        """Where the programs put them unless they are told otherwise; their own variables count."""
        home = Path(environment.get("HOME") or Path.home())
        cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
        llama_cpp = home / "Library" / "Caches" if sys.platform == "darwin" else cache
        hugging_face = Path(environment.get("HF_HOME") or cache / "huggingface")
        return cls(
            ours=ours,
            hub=Path(environment.get("HF_HUB_CACHE") or hugging_face / "hub"),
            ollama=Path(environment.get("OLLAMA_MODELS") or home / ".ollama" / "models"),
            lm_studio=(home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"),
            llama_cpp=Path(environment.get("LLAMA_CACHE") or llama_cpp / "llama.cpp"),
        )
