"""Settings: defaults, layers, and messages for what cannot be used."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lsp.cli.terminal import settings_table
from lsp.settings.settings import (
    AttributionSettings,
    CompletionSettings,
    EngineSettings,
    Settings,
    SettingsLayer,
    environment_layer,
    resolve,
    setting_infos,
    to_camel,
)


def test_nothing_given_is_the_defaults_without_a_word() -> None:
    for raw in ({}, None, {"completion": None}, {"engine": {"url": None}}):
        assert Settings.from_mapping(raw, source="editor") == (Settings(), [])


def test_the_wire_speaks_camel_case_and_the_files_may_speak_snake_case() -> None:
    wire, messages = Settings.from_mapping(
        {"completion": {"maxNewTokens": 12, "debounceMs": 0}}, source="editor"
    )
    file, _ = Settings.from_mapping({"completion": {"max_new_tokens": 12, "debounce-ms": 0}}, source="file")
    assert messages == []
    assert (
        wire == file == replace(Settings(), completion=CompletionSettings(max_new_tokens=12, debounce_ms=0))
    )


def test_what_the_settings_say_they_say_again_when_read_back() -> None:
    raw = {
        "model": "bigcode/starcoderbase-1b",
        "engine": {"url": "http://127.0.0.1:8000/v1", "apiKeyEnv": "KEY", "device": "cuda:1", "threads": 3},
        "completion": {"temperature": 0.2, "disabledLanguages": ["markdown"], "debounceMs": 40},
        "exclude": {"globs": ["*.secret"], "gitignored": False},
        "attribution": {"index": "/var/index", "onMatch": "block"},
    }
    settings, messages = Settings.from_mapping(raw, source="editor")
    assert messages == []
    assert Settings.from_mapping(settings.to_mapping(), source="again") == (settings, [])
    assert settings.to_mapping()["exclude"]["globs"] == ["*.secret"]
    assert settings.engine == EngineSettings(
        url="http://127.0.0.1:8000/v1", api_key_env="KEY", device="cuda:1", threads=3
    )


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ({"completion": {"maxNewTokens": "many"}}, ["maxNewTokens", "'many'", "1 to 2048", "64"]),
        ({"completion": {"maxNewTokens": 0}}, ["0", "1 to 2048"]),
        ({"completion": {"maxNewTokens": True}}, ["True"]),
        ({"completion": {"temperature": float("nan")}}, ["nan", "0 to 2"]),
        ({"completion": {"multiline": "perhaps"}}, ["perhaps", "auto, always, never"]),
        ({"completion": {"debounceMs": "soon"}}, ["soon", '"auto"']),
        ({"completion": {"disabledLanguages": "python"}}, ["disabledLanguages", "list"]),
        ({"completion": []}, ["completion", "[]", "object"]),
        (
            {"completion": {"maxNewToken": 3}},
            ["completion.maxNewToken", "did you mean completion.maxNewTokens?"],
        ),
        ({"zebra": 1}, ["zebra", "starcoder-lsp config"]),
        ({"engine": {"url": "localhost:8000"}}, ["localhost:8000", "http://"]),
        ({"engine": {"device": "tpu"}}, ["tpu", "cuda"]),
        ({"model": ""}, ["model", "''"]),
        (["x"], ["settings", "object"]),
    ],
)
def test_a_bad_value_is_a_message_and_the_default_holds(raw: Any, parts: list[str]) -> None:
    settings, messages = Settings.from_mapping(raw, source="editor")
    assert settings == Settings()
    assert len(messages) == 1
    for part in ["editor", *parts]:
        assert part in messages[0]


def test_numbers_from_lua_are_floats() -> None:
    settings, messages = Settings.from_mapping(
        {"completion": {"alternatives": 3.0, "temperature": 1}}, source="e"
    )
    assert messages == []
    assert isinstance(settings.completion.alternatives, int)
    assert isinstance(settings.completion.temperature, float)


def test_the_stronger_layer_wins_and_a_bad_value_leaves_the_weaker_one() -> None:
    effective = resolve(
        [
            SettingsLayer(source="user file", values={"model": "mine", "completion": {"alternatives": 2}}),
            SettingsLayer(source="editor", values={"model": None, "completion": {"alternatives": 99}}),
        ]
    )
    assert effective.settings.model == "mine"
    assert effective.settings.completion.alternatives == 2
    assert effective.origins["completion.alternatives"] == "user file"
    assert effective.origins["completion.enabled"] == "default"
    assert "It stays 2." in effective.messages[0]


def test_an_empty_text_unsets_what_a_weaker_layer_set() -> None:
    layers = [
        SettingsLayer(source="user file", values={"engine": {"url": "http://a/v1"}}),
        SettingsLayer(source="editor", values={"engine": {"url": ""}}),
    ]
    effective = resolve(layers)
    assert effective.settings.engine.url is None
    assert effective.origins["engine.url"] == "editor"


@pytest.mark.parametrize(
    "values",
    [
        {"engine": {"url": "http://evil/v1"}},
        {"engine": {"apiKeyEnv": "AWS_SECRET_ACCESS_KEY"}},
        {"engine": {"threads": 3}},
        {"engine": {"quantize": "int8"}},
        {"engine": {"device": "cpu"}},
        {"exclude": {"gitignored": False}},
        {"exclude": {"globs": ["!.env"]}},
        {"attribution": {"index": "http://evil"}},
        {"model": "evil/model"},
    ],
)
def test_a_projects_file_cannot_send_code_away_or_lift_exclusions(values: dict[str, Any]) -> None:
    effective = resolve([SettingsLayer(source="pyproject.toml", values=values, trusted=False)])
    assert effective.settings == Settings()
    assert len(effective.messages) == 1
    assert "pyproject.toml" in effective.messages[0]
    # The same from the user is in order.
    assert resolve([SettingsLayer(source="editor", values=values)]).messages == ()


def test_a_projects_file_adds_to_lists_and_sets_the_rest() -> None:
    values = {"exclude": {"globs": ["/generated/", "*.pem"]}, "completion": {"alternatives": 2}}
    effective = resolve([SettingsLayer(source="p", values=values, trusted=False)])
    assert effective.messages == ()
    assert effective.settings.exclude.globs == (*Settings().exclude.globs, "/generated/")
    assert effective.settings.completion.alternatives == 2


def test_the_environment_is_a_layer_of_texts() -> None:
    layer = environment_layer(
        {
            "STARCODER_MODEL": "mine",
            "STARCODER_COMPLETION_MAX_NEW_TOKENS": "7",
            "STARCODER_COMPLETION_ENABLED": "off",
            "STARCODER_COMPLETION_TEMPERATURE": "0.5",
            "STARCODER_COMPLETION_DEBOUNCE_MS": "auto",
            "STARCODER_EXCLUDE_GLOBS": "*.a, *.b",
            "STARCODER_ENGINE_TOKEN": "not a setting",
            "HOME": "/root",
        },
        ignore=("STARCODER_ENGINE_TOKEN",),
    )
    effective = resolve([layer])
    assert effective.messages == ()
    completion = effective.settings.completion
    assert (completion.max_new_tokens, completion.enabled, completion.temperature) == (7, False, 0.5)
    assert (effective.settings.model, effective.settings.exclude.globs) == ("mine", ("*.a", "*.b"))


def test_a_mistaken_variable_is_named() -> None:
    layer = environment_layer(
        {"STARCODER_COMPLETION_ENABLE": "1", "STARCODER_COMPLETION_ALTERNATIVES": "two"}
    )
    messages = resolve([layer]).messages
    assert any("STARCODER_COMPLETION_ENABLE" in message for message in messages)
    assert any("'two'" in message for message in messages)


def test_every_setting_is_described_and_its_default_is_one_it_accepts() -> None:
    infos = setting_infos()
    assert len({info.environment_variable for info in infos}) == len(infos)
    for info in infos:
        assert info.doc.endswith((".", "…"))
        assert info.default is None or info.rule.accepts(info.default), info.key


@given(st.from_regex(r"[a-z]{1,5}(_[a-z0-9]{1,5}){0,3}", fullmatch=True))
def test_camel_case_is_stable(name: str) -> None:
    assert to_camel(to_camel(name)) == to_camel(name)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([info.key.split(".")[-1] for info in setting_infos()] + ["engine", "completion", "x"])


@given(
    raw=json_values
    | st.dictionaries(names, json_values | st.dictionaries(names, json_values, max_size=4), max_size=4),
    trusted=st.booleans(),
)
def test_no_mapping_stops_the_server(raw: Any, trusted: bool) -> None:
    effective = resolve([SettingsLayer(source="editor", values=raw, trusted=trusted)])
    again, messages = Settings.from_mapping(effective.settings.to_mapping(), source="again")
    assert again == effective.settings
    assert messages == []


def test_a_projects_file_may_make_a_choice_stricter_and_not_looser() -> None:
    def on_match(*layers: tuple[str, bool]) -> tuple[str, tuple[str, ...]]:
        given = [
            SettingsLayer(source="p", values={"attribution": {"onMatch": value}}, trusted=trusted)
            for value, trusted in layers
        ]
        effective = resolve(given)
        return effective.settings.attribution.on_match, effective.messages

    assert on_match(("block", False)) == ("block", ())
    value, (message,) = on_match(("block", True), ("show", False))
    assert value == "block"
    assert "may not loosen it" in message
    assert on_match(("block", True), ("show", True)) == ("show", ())


def test_what_is_shown_holds_no_password() -> None:
    url = "https://reader:s3cret@search.example.com:9200/code"
    settings = Settings(attribution=AttributionSettings(index=url))
    assert settings.to_mapping()["attribution"]["index"] == url
    assert settings.shown()["attribution"]["index"] == "https://search.example.com:9200/code"
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(settings_table(resolve([SettingsLayer(source="test", values=settings.to_mapping())])))
    assert "search.example.com" in (text := console.export_text())
    assert "s3cret" not in text
