"""The list of models, and one that is fetched while the user works on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pygls.exceptions import JsonRpcException

from lsp.server.models import describe_models
from lsp.status.telemetry import Quantiles
from model.catalogue.published import PUBLISHED
from tests.lsp.editor import Editor, editor
from tests.lsp.fake_engine import FakeEngine
from tests.model.gguf.writing import write_gguf

OFFLINE = {"HF_HUB_OFFLINE": "1"}


async def models(ed: Editor) -> dict[str, Any]:
    answer: dict[str, Any] = await ed.request("starcoder/models", {})
    return answer


async def test_the_list_has_what_is_bundled_published_and_here(tmp_path: Path, engine: FakeEngine) -> None:
    async with editor({"engine": {"url": engine.url}}, home=tmp_path) as ed:
        answer = await models(ed)
        assert answer["setting"] == "auto"
        by_name = {model["name"]: model for model in answer["models"]}
        assert by_name["starter"]["inUse"]
        assert by_name["starter"]["isHere"]
        little = by_name["qwen2.5-coder-0.5b"]
        assert (little["isHere"], little["license"], little["bytes"]) == (False, "apache-2.0", 491_400_064)
        assert answer["proposed"]["name"] in by_name


def test_a_model_has_what_was_measured_of_it_on_this_machine(home: Path) -> None:
    link = home / "cache" / "llama.cpp" / "mine.gguf"
    link.parent.mkdir(parents=True)
    write_gguf(link, architecture="qwen2", metadata={}, tensors={})
    times = {name: Quantiles(p50_ms=41.5, p95_ms=90, count=20) for name in ("starter", "mine")}
    answer = describe_models("auto", times)
    latencies = {model["name"]: model["latencyMs"] for model in answer["models"]}
    assert latencies == {
        **dict.fromkeys((model.name for model in PUBLISHED), None),
        "starter": 41.5,
        str(link): 41.5,
    }
    lacks = {model["name"]: model["lack"] for model in answer["models"]}
    assert lacks["starter"] is None
    assert lacks[answer["proposed"]["name"]] is None
    assert describe_models("auto", {}) == answer


async def test_what_cannot_be_fetched_says_why(tmp_path: Path, engine: FakeEngine) -> None:
    settings = {"engine": {"url": engine.url}}
    async with editor(settings, home=tmp_path, environment=OFFLINE) as ed:
        with pytest.raises(JsonRpcException, match="is no published model"):
            await ed.request("starcoder/getModel", {"name": "nobody's"})
        with pytest.raises(JsonRpcException, match="HF_HUB_OFFLINE"):
            await ed.request("starcoder/getModel", {"name": "qwen2.5-coder-0.5b"})
        assert not list((tmp_path / "cache").rglob("*.gguf"))
