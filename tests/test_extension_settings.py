"""The extension's settings are the server's: names, defaults, limits, words, and who may set them."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lsp.settings.settings import SettingInfo, SettingsLayer, resolve, setting_infos

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "extension" / "package.json"
SETTINGS_TS = ROOT / "extension" / "src" / "server" / "settings.ts"
SECTION = "starcoder."
# The extension's own: how it finds the server.
CLIENT_ONLY = {"server.path"}
# Seldom changed; they can be set in the server's own files (docs/configuration.md).
NOT_IN_THE_EXTENSION = {
    "engine.fimTemplate",
    "engine.quantize",
    "engine.threads",
    "engine.cacheMib",
    "completion.temperature",
    "completion.confidenceThreshold",
    "completion.debounceMs",
    "completion.maxPromptMs",
    "exclude.gitignored",
}


@cache
def properties() -> dict[str, dict[str, Any]]:
    """package.json's settings by the server's names."""
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    listed = manifest["contributes"]["configuration"]["properties"]
    return {name.removeprefix(SECTION): value for name, value in listed.items()}


def mirrored() -> list[SettingInfo]:
    return [info for info in setting_infos() if info.key in properties()]


def accepts(key: str, value: object) -> bool:
    """Whether the server takes a value from an editor without a complaint."""
    section, _, name = key.rpartition(".")
    values = {section: {name: value}} if section else {name: value}
    return not resolve([SettingsLayer(source="editor", values=values)]).messages


def test_the_extension_has_no_setting_that_the_server_lacks() -> None:
    assert set(properties()) - {info.key for info in setting_infos()} == CLIENT_ONLY


def test_what_the_extension_leaves_out_is_left_out_on_purpose() -> None:
    assert {info.key for info in setting_infos()} - set(properties()) == NOT_IN_THE_EXTENSION


@pytest.mark.parametrize("info", mirrored(), ids=lambda info: info.key)
def test_defaults_and_words_are_the_servers(info: SettingInfo) -> None:
    prop = properties()[info.key]
    default = list(info.default) if isinstance(info.default, tuple) else info.default
    assert (prop["default"], prop["markdownDescription"]) == (default, info.doc)


@pytest.mark.parametrize("info", mirrored(), ids=lambda info: info.key)
def test_what_a_project_may_not_set_only_the_user_can(info: SettingInfo) -> None:
    prop = properties()[info.key]
    assert (prop["scope"] == "machine") == (info.reach == "user_only")
    # The extension only ever adds to lists, and only makes these stricter (extension/src/server/settings.ts).
    assert (prop["type"] == "array") == (info.reach == "adds_only")
    if info.reach == "tightens_only":
        assert tuple(prop["enum"]) == info.rule.values
        assert info.key in re.findall(r"ONLY_STRICTER.*\[(.*)\]", SETTINGS_TS.read_text(encoding="utf-8"))[0]


@pytest.mark.parametrize("info", mirrored(), ids=lambda info: info.key)
def test_the_editor_offers_what_the_server_takes(info: SettingInfo) -> None:
    prop = properties()[info.key]
    for value in prop.get("enum", []):
        assert accepts(info.key, value)
    for limit, step in (("minimum", -1), ("maximum", 1)):
        if limit in prop:
            assert accepts(info.key, prop[limit])
            assert not accepts(info.key, prop[limit] + step)
    if "enum" in prop:
        assert not accepts(info.key, "neither of them")


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("engine.url", ["http://localhost:1", "https://host/v1", "unix:/run/x", ""], ["ftp://host", "host"]),
        ("engine.apiKeyEnv", ["OPENAI_API_KEY", ""], ["1ST", "A KEY"]),
        ("engine.device", ["auto", "cpu", "cuda", "cuda:1"], ["gpu", "cuda:x"]),
    ],
)
def test_patterns_agree(key: str, good: list[str], bad: list[str]) -> None:
    pattern = properties()[key]["pattern"]
    for value in good + bad:
        assert (re.search(pattern, value) is not None, accepts(key, value)) == (value in good,) * 2


def test_an_untrusted_folder_sets_nothing_that_a_project_may_not() -> None:
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    restricted = manifest["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"]
    needed = {SECTION + info.key for info in mirrored() if info.reach != "any"} | {
        SECTION + key for key in CLIENT_ONLY
    }
    assert needed == set(restricted)
