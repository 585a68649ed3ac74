"""What computes a model: compiled code or PyTorch, and with PyTorch installed or not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from model.errors import ConfigError
from model.extras import install_command
from model.families.gpt_bigcode import GPT_BIGCODE
from model.native.library import VARIANT_VARIABLE, built_variants
from model.start.backend import check_names, compiled_scheme, only_with_torch
from model.weights.scheme import Scheme

CONFIG = GPT_BIGCODE.read({"vocab_size": 512, "n_positions": 128, "n_embd": 64, "n_layer": 1, "n_head": 4})

FOLDER = Path("model")  # of no GGUF file

needs_compiled_code = pytest.mark.skipif(not built_variants(), reason="no compiled code was built here")


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(("key", "value"), [("device", "tpu"), ("quantize", "int2")])
def test_an_unknown_setting_is_named(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} = '{value}': expected auto"):
        check_names(**({"device": "auto", "quantize": "auto"} | {key: value}))
    with pytest.raises(ConfigError, match=f"{key} = '{value}': expected auto"):
        compiled_scheme(FOLDER, CONFIG, **({"device": "auto", "quantize": "auto"} | {key: value}))


@needs_compiled_code
@pytest.mark.usefixtures("gpu")
def test_a_gpu_is_pytorchs_where_pytorch_is() -> None:
    assert compiled_scheme(FOLDER, CONFIG, device="auto", quantize="auto") is None
    assert compiled_scheme(FOLDER, CONFIG, device="cpu", quantize="int4") is not None


@needs_compiled_code
@pytest.mark.usefixtures("gpu", "no_torch")
def test_a_gpu_waits_for_pytorch_and_the_cpu_computes() -> None:
    compiled = compiled_scheme(FOLDER, CONFIG, device="auto", quantize="auto")
    assert compiled is not None
    assert compiled[0] is Scheme.INT8


@needs_compiled_code
def test_the_variant_for_any_cpu_computes_where_pytorch_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIANT_VARIABLE, "plain")
    assert compiled_scheme(FOLDER, CONFIG, device="cpu", quantize="auto") is None
    monkeypatch.setitem(sys.modules, "torch", None)
    compiled = compiled_scheme(FOLDER, CONFIG, device="cpu", quantize="auto")
    assert compiled is not None
    assert "which is slow" in compiled[1]


def test_no_compiled_code_is_told_apart_from_compiled_code_that_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIANT_VARIABLE, "off")
    assert only_with_torch(device="auto", quantize="auto").endswith(f"({VARIANT_VARIABLE}=off)")
    monkeypatch.delenv(VARIANT_VARIABLE)
    monkeypatch.setattr("model.start.backend.native_variant", lambda: None)
    monkeypatch.setattr("model.start.backend.built_variants", lambda: {"plain": tmp_path})
    assert "cannot be loaded" in only_with_torch(device="auto", quantize="auto")
    monkeypatch.setattr("model.start.backend.built_variants", dict)
    assert "a C++ compiler is needed" in only_with_torch(device="auto", quantize="auto")


def test_the_command_for_an_extra_is_pips_or_uvs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/home/me/my env/bin/python")
    monkeypatch.setitem(sys.modules, "pip", None)
    assert (
        install_command("gpu") == "uv pip install --python '/home/me/my env/bin/python' 'starcoder-lsp[gpu]'"
    )
