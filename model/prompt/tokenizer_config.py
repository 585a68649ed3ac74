"""What a model's folder says of its tokenizer beside tokenizer.json: chat template, names of special tokens.

Knows nothing about what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.errors import TokenizerError
from model.local.small_files import read_json_object

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


def read_tokenizer_config(folder: Path) -> Mapping[str, Any]:
    """The object in `folder`'s file, empty where there is none. Raises `TokenizerError`, which names it."""
    path = folder / TOKENIZER_CONFIG_FILE
    if not path.is_file():
        return {}
    try:
        return read_json_object(path)
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read: {error}") from error
