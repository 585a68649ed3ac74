"""Fixtures of the model tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.tiny import write_tiny_model


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer multi-query model with a byte tokenizer."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny-model"))
