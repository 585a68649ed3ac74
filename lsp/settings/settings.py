"""User settings: frozen dataclasses, and the pure merge of the layers that set them.

Keys are camelCase on the wire (`completion.maxNewTokens`) and snake_case inside; either spelling is
accepted. A bad value never stops the server: it becomes a message that names the value and the remedy,
and the lower layer's value holds. Knows nothing about files: `SettingsLayer`s come from
`lsp.settings.config_sources`, the editor's configuration and the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from lsp.settings.rules import (
    BOOLEAN,
    TEXT,
    TEXT_LIST,
    URL,
    Rule,
    choice,
    integer,
    number,
    optional,
    or_auto,
    pattern,
)
from model.catalogue.published import AUTO
from model.local.redaction import without_credentials
from model.local.secret_files import SECRET_GLOBS

DEFAULT_SOURCE = "default"
ENVIRONMENT_PREFIX = "STARCODER_"

# A cloned project must not be able to send the user's code to a server of its choice, to read an
# environment variable as a "key", to start one engine after another, or to lift an exclusion: such settings
# are the user's alone.
# "tightens_only": the values go from loose to strict, and a project may only take a later one.
Reach = Literal["any", "user_only", "adds_only", "tightens_only"]


def _setting(default: Any, rule: Rule, doc: str, *, reach: Reach = "any") -> Any:
    return field(default=default, metadata={"rule": rule, "doc": doc, "reach": reach})


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Which engine answers. `url` None: the local engine, started on demand."""

    url: str | None = _setting(
        None,
        optional(URL),
        "An OpenAI-compatible server instead of the local engine.",
        reach="user_only",
    )
    api_key_env: str | None = _setting(
        None,
        optional(pattern(r"[A-Za-z_]\w*", "the name of an environment variable")),
        "The environment variable that holds the server's API key.",
        reach="user_only",
    )
    ca_file: str | None = _setting(
        None,
        optional(TEXT),
        "The certificates (PEM) of your own authority, for `url` with https.",
        reach="user_only",
    )
    fim_template: str = _setting(
        "auto",
        TEXT,
        "How the model at `url` is asked to fill in the middle: auto, suffix, starcoder, …",
        reach="user_only",
    )
    quantize: Literal["auto", "none", "int8", "int4"] = _setting(
        "auto",
        choice("auto", "none", "int8", "int4"),
        "Weight precision of the local engine.",
        reach="user_only",
    )
    device: str = _setting(
        "auto",
        pattern(r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:N"),
        "Where the local engine computes.",
        reach="user_only",
    )
    threads: int | None = _setting(
        None,
        optional(integer(1, 1024)),
        "CPU threads of the local engine (unset: as many as help).",
        reach="user_only",
    )
    cache_mib: int = _setting(
        512,
        integer(16, 1_048_576),
        "Memory for computed prompts in the local engine, in MiB; at least that of one whole context.",
    )


@dataclass(frozen=True, kw_only=True)
class CompletionSettings:
    """What is suggested, and when."""

    enabled: bool = _setting(True, BOOLEAN, "Suggest completions.")
    max_new_tokens: int = _setting(64, integer(1, 2048), "The longest suggestion, in tokens.")
    temperature: float = _setting(0.0, number(0.0, 2.0), "Randomness; 0 takes the likeliest token.")
    alternatives: int = _setting(1, integer(1, 8), "Suggestions for one cursor place.")
    multiline: Literal["auto", "always", "never"] = _setting(
        "auto", choice("auto", "always", "never"), "Whether a suggestion may have several lines."
    )
    disabled_languages: tuple[str, ...] = _setting(
        (), TEXT_LIST, "Language ids without completions, for example markdown.", reach="adds_only"
    )
    confidence_threshold: float = _setting(
        0.0, number(0.0, 1.0), "Suggestions with a lower mean token probability are not shown; 0 shows all."
    )
    debounce_ms: int | Literal["auto"] = _setting(
        "auto", or_auto(integer(0, 5000)), "Pause before a completion is computed, in milliseconds."
    )
    max_prompt_ms: int = _setting(
        500,
        integer(50, 60_000),
        "How long a prompt may take to compute, in milliseconds; longer ones wait for an idle engine.",
    )
    keep_suffix: bool = _setting(
        True,
        BOOLEAN,
        "A new line keeps what was computed of the text below it until the engine is idle; off: never.",
    )


@dataclass(frozen=True, kw_only=True)
class ExcludeSettings:
    """Files that are never completed in and never used as context."""

    globs: tuple[str, ...] = _setting(
        SECRET_GLOBS, TEXT_LIST, "Excluded files, in .gitignore's syntax.", reach="adds_only"
    )
    gitignored: bool = _setting(True, BOOLEAN, "Also exclude what .gitignore names.", reach="user_only")


@dataclass(frozen=True, kw_only=True)
class AttributionSettings:
    """Where code is looked up to tell what it is a copy of, and what becomes of suggestions that are."""

    index: str | None = _setting(
        None,
        optional(TEXT),
        "Folder or Elasticsearch URL of the attribution index (unset: where `index build` puts one).",
        reach="user_only",
    )
    on_match: Literal["show", "label", "policy", "block"] = _setting(
        "label",
        choice("show", "label", "policy", "block"),
        "What becomes of a suggestion that is a copy: show its sources, label it, block what the "
        "project's policy does not let pass, or block it whatever the project says.",
        reach="tightens_only",
    )

    @property
    def withholds(self) -> bool:
        """Whether copies, and text that could not be checked, are withheld."""
        return self.on_match in {"policy", "block"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings; the defaults are the dataclasses' own."""

    model: str = _setting(
        AUTO,
        TEXT,
        "The local model: auto (the best one here), a name of `model list`, a file, a folder or a hub id.",
        reach="user_only",
    )
    engine: EngineSettings = EngineSettings()
    completion: CompletionSettings = CompletionSettings()
    exclude: ExcludeSettings = ExcludeSettings()
    attribution: AttributionSettings = AttributionSettings()

    @classmethod
    def from_mapping(cls, raw: object, *, source: str) -> tuple[Settings, list[str]]:
        """Settings from one mapping, and a message for each unknown key and bad value in it."""
        effective = resolve([SettingsLayer(source=source, values=raw)])
        return effective.settings, list(effective.messages)

    def to_mapping(self) -> dict[str, Any]:
        """The settings as they stand on the wire: camelCase, lists for tuples."""
        mapping: dict[str, Any] = {}
        for info in setting_infos():
            section, _, name = info.key.rpartition(".")
            target = mapping.setdefault(section, {}) if section else mapping
            value = _get(self, info.path)
            target[name] = list(value) if isinstance(value, tuple) else value
        return mapping

    def shown(self) -> dict[str, Any]:
        """The same for people and logs: URLs without user and password."""
        return {
            key: {name: _redacted(value) for name, value in section.items()}
            if isinstance(section, dict)
            else _redacted(section)
            for key, section in self.to_mapping().items()
        }


@dataclass(frozen=True, kw_only=True)
class SettingInfo:
    """One setting: its dotted wire name, its default, and the values that it takes."""

    key: str
    path: tuple[str, ...]
    default: Any
    expected: str
    doc: str
    reach: Reach
    rule: Rule = field(repr=False)

    @property
    def environment_variable(self) -> str:
        """The environment variable that sets it, `STARCODER_COMPLETION_MAX_NEW_TOKENS`."""
        return ENVIRONMENT_PREFIX + "_".join(self.path).upper()


@dataclass(frozen=True, kw_only=True)
class SettingsLayer:
    """One source of settings. `trusted` is False for files that come with a project, and for a client on a
    port; `author` says in messages which of them it is."""

    source: str
    values: object
    trusted: bool = True
    author: str = "a project's file"


@dataclass(frozen=True, kw_only=True)
class Effective:
    """The merged settings, where each value came from (by wire name), and what was wrong."""

    settings: Settings
    origins: Mapping[str, str]
    messages: tuple[str, ...]


def resolve(layers: Sequence[SettingsLayer]) -> Effective:
    """Merge layers, the strongest last. Null means "not set here"; "" unsets an optional text.

    A list in an untrusted layer is added to what it finds; in a trusted one it takes its place.
    """
    settings = Settings()
    origins = {info.key: DEFAULT_SOURCE for info in setting_infos()}
    messages: list[str] = []
    for layer in layers:
        for info, value in _known(layer, messages):
            outcome = _checked(info, value, layer, _get(settings, info.path))
            if isinstance(outcome, str):
                messages.append(f"{outcome}. It stays {_shown(_get(settings, info.path))}.")
            else:
                settings = _with(settings, info.path, outcome.value)
                origins[info.key] = layer.source
    return Effective(settings=settings, origins=MappingProxyType(origins), messages=tuple(messages))


def environment_layer(environ: Mapping[str, str], *, ignore: Iterable[str] = ()) -> SettingsLayer:
    """The layer of `STARCODER_…` variables. Those named in `ignore` belong to somebody else."""
    values: dict[str, Any] = {}
    known = {info.environment_variable: info for info in setting_infos()}
    sections = tuple(f"{ENVIRONMENT_PREFIX}{s.upper()}_" for s in {i.path[0] for i in known.values()})
    for variable, text in environ.items():
        info = known.get(variable)
        if info is not None:
            target = values if len(info.path) == 1 else values.setdefault(info.path[0], {})
            target[info.path[-1]] = info.rule.from_text(text)
        elif variable.startswith(sections) and variable not in ignore:
            values[variable] = text  # merged as an unknown key, so that the message names it
    return SettingsLayer(source="environment", values=values)


def setting_infos(kind: type[Any] = Settings, above: tuple[str, ...] = ()) -> tuple[SettingInfo, ...]:
    """Every setting in declaration order: for `config`, the docs and the extension's package.json."""
    found: list[SettingInfo] = []
    for item in fields(kind):
        path = (*above, item.name)
        rule = item.metadata.get("rule")
        if rule is None:
            found.extend(setting_infos(type(item.default), path))
            continue
        found.append(
            SettingInfo(
                key=".".join(to_camel(name) for name in path),
                path=path,
                default=item.default,
                expected=rule.expected,
                doc=item.metadata["doc"],
                reach=item.metadata["reach"],
                rule=rule,
            )
        )
    return tuple(found)


def to_camel(name: str) -> str:
    """`max_new_tokens` and `max-new-tokens` as `maxNewTokens`; camelCase stays."""
    return re.sub(r"[_-]([A-Za-z0-9])", lambda match: match[1].upper(), name)


@dataclass(frozen=True)
class _Accepted:
    value: Any


def _known(layer: SettingsLayer, messages: list[str]) -> list[tuple[SettingInfo, Any]]:
    """The settings that a layer holds; unknown keys and sections that are no objects become messages."""
    infos = {info.key: info for info in setting_infos()}
    sections = {key.split(".")[0] for key in infos if "." in key}
    found: list[tuple[SettingInfo, Any]] = []

    def walk(values: object, above: str) -> None:
        if not isinstance(values, Mapping):
            messages.append(
                f"{layer.source}: {above or 'the settings'} = {_shown(values)}: expected an object"
            )
            return
        for name, value in values.items():
            key = f"{above}.{to_camel(str(name))}".lstrip(".")
            if key in infos:
                found.append((infos[key], value))
            elif key in sections and value is not None:
                walk(value, key)
            elif key not in sections:
                messages.append(
                    f"{layer.source}: unknown setting {above and above + '.'}{name}{_hint(key, infos)}"
                )

    if layer.values is not None:
        walk(layer.values, "")
    return [(info, value) for info, value in found if value is not None]


def _hint(key: str, infos: Iterable[str]) -> str:
    import difflib  # only when something is wrong: it costs start-up time

    near = difflib.get_close_matches(key, list(infos), n=1)
    return f"; did you mean {near[0]}?" if near else "; `starcoder-lsp config` lists the known ones"


def _checked(info: SettingInfo, value: Any, layer: SettingsLayer, current: Any) -> _Accepted | str:
    if not layer.trusted and info.reach == "user_only":
        return (
            f"{layer.source}: {info.key} = {_shown(value)} is ignored: {layer.author} may not set it, "
            "put it into your user file or your editor's settings"
        )
    if not info.rule.accepts(value):
        return f"{layer.source}: {info.key} = {_shown(value)}: expected {info.expected}"
    converted = info.rule.convert(value)
    if not layer.trusted and info.reach == "adds_only":
        lifted = [item for item in converted if item.startswith("!")]
        if lifted:
            return f"{layer.source}: {info.key} = {_shown(lifted)}: {layer.author} may add, not take away"
        converted = (*current, *(item for item in converted if item not in current))
    if not layer.trusted and info.reach == "tightens_only":
        order = info.rule.values.index
        if order(converted) < order(current):
            return f"{layer.source}: {info.key} = {_shown(value)}: {layer.author} may not loosen it"
    return _Accepted(converted)


def _redacted(value: Any) -> Any:
    return without_credentials(value) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    text = without_credentials(repr(value))
    return text if len(text) <= 60 else text[:57] + "…"


def _get(settings: Settings, path: tuple[str, ...]) -> Any:
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    return value


def _with(settings: Settings, path: tuple[str, ...], value: Any) -> Settings:
    if len(path) == 1:
        return replace(settings, **{path[0]: value})
    section = replace(getattr(settings, path[0]), **{path[1]: value})
    return replace(settings, **{path[0]: section})
