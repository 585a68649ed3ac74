"""Configurations that claim what no model has: an error of one line, before room is made for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from model.errors import ConfigError
from model.families.config import CONFIG_FILE
from model.families.registry import FAMILIES, read_config

SIZES = (
    "num_hidden_layers",
    "n_layer",
    "max_position_embeddings",
    "n_positions",
    "hidden_size",
    "vocab_size",
)


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_sizes_beyond_any_model_are_refused(tmp_path: Path, model_type: str) -> None:
    for value in (10**9, 10**30):
        sizes = dict.fromkeys(SIZES, value)
        (tmp_path / CONFIG_FILE).write_text(json.dumps({"model_type": model_type, **sizes}))
        with pytest.raises(ConfigError) as caught:
            read_config(tmp_path)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("[" * 100_000, "nested too deeply"), ('{"a":' * 100_000, "nested too deeply"), ("\xff", "JSON")],
)
def test_what_json_cannot_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / CONFIG_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=said):
        read_config(tmp_path)


def test_only_a_regular_file_of_some_size_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / CONFIG_FILE)
    with pytest.raises(ConfigError, match="no regular file"):
        read_config(tmp_path)
    (tmp_path / CONFIG_FILE).unlink()
    with (tmp_path / CONFIG_FILE).open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(ConfigError, match="bytes"):
        read_config(tmp_path)
