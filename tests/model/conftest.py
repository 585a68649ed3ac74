"""Fixtures of the model tests."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from model.local.listen import Listen
from model.prompt.tokenizer import Tokenizer
from tests.model.prompt.small_tokenizers import write_merging_tokenizer
from tests.model.tiny import write_byte_tokenizer, write_tiny_model


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer multi-query model with a byte tokenizer."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def byte_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """One token a byte."""
    folder = tmp_path_factory.mktemp("byte-tokenizer")
    write_byte_tokenizer(folder)
    return Tokenizer.from_folder(folder)


@pytest.fixture(scope="session")
def merging_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Byte-level BPE with merges: small, but every kind of token occurs."""
    folder = tmp_path_factory.mktemp("merging-tokenizer")
    # Real code that no change of this repository touches: how long its tokens are decides bounds of tests.
    write_merging_tokenizer(folder, Path(argparse.__file__).read_text(encoding="utf-8")[:20_000])
    return Tokenizer.from_folder(folder)


@pytest.fixture
def listen(tmp_path: Path) -> Listen:
    """A socket of the test's own."""
    return Listen.parse(f"unix:{tmp_path}/run/e.sock")
