"""What the settings start a local engine with."""

from __future__ import annotations

from lsp.link.engines import launch_options
from lsp.settings.settings import Settings
from model.engine.engine import EngineOptions
from model.process.engine_files import LaunchOptions


def test_all_of_it_comes_from_the_settings() -> None:
    engine = {"quantize": "int4", "device": "cpu", "threads": 1, "cacheMib": 64}
    settings, messages = Settings.from_mapping({"model": "starter", "engine": engine}, source="test")
    wanted = LaunchOptions(model="starter", quantize="int4", device="cpu", threads=1, cache_mib=64)
    assert (launch_options(settings), messages) == (wanted, [])
    assert wanted.arguments()[-4:] == ["--cache-mib", "64", "--threads", "1"]


def test_the_bound_of_the_cache_is_the_same_wherever_it_is_left_out() -> None:
    cache_mib = Settings().engine.cache_mib
    assert cache_mib == LaunchOptions().cache_mib
    assert cache_mib * 2**20 == EngineOptions().kv_cache_bytes
