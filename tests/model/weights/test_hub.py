"""Names of models to folders, with a hub on a loopback port in the place of the real one."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from model.errors import ConfigError, HubError
from model.families.gpt_bigcode import GPT_BIGCODE
from model.weights import hub
from model.weights.licence import licence_of_card, licence_of_text, read_licence, restrictions_of
from tests.model.tiny import config_with
from tests.model.weights.hub_server import COMMIT, HubServer

LICENSEE = Path(__file__).parents[3].parent / "shared" / "data" / "licensee" / "spec" / "fixtures"

CONFIG = json.dumps(GPT_BIGCODE.write(config_with())).encode()
CARD = b"---\nlicense: bigcode-openrail-m\ntags:\n- code\n---\n# A model\n"
GOOD = {
    "config.json": CONFIG,
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights",
    "README.md": CARD,
    "pytorch_model.bin": b"pickle",
    "training_args.bin": b"pickle",
}


def without(*names: str) -> dict[str, bytes]:
    return {name: data for name, data in GOOD.items() if name not in names}


REPOSITORIES = {
    "org/good": GOOD,
    "org/pickled": without("model.safetensors"),
    "org/gemma2": {**GOOD, "config.json": b'{"model_type": "gemma2"}'},
    "org/empty": {"README.md": CARD},
    "org/bare": without("tokenizer.json"),
}


class Resolve(Protocol):
    """`hub.resolve` with a cache and a hub of the test's own."""

    def __call__(self, name: str, *, offline: bool = False) -> hub.ResolvedModel: ...


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with HubServer(REPOSITORIES, gated=("org/gated",)).running() as server:
        yield server


@pytest.fixture
def resolve(tmp_path: Path, remote: HubServer) -> Resolve:
    def resolve(name: str, *, offline: bool = False) -> hub.ResolvedModel:
        return hub.resolve(name, cache_dir=tmp_path / "cache", endpoint=remote.url, offline=offline)

    return resolve


def folder_with(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


class TestHuggingFace:
    def test_fetches_what_is_needed_and_no_pickle(self, resolve: Resolve, remote: HubServer) -> None:
        found = resolve("org/good")
        assert {path.name for path in found.folder.iterdir()} == GOOD.keys() - {
            "pytorch_model.bin",
            "training_args.bin",
        }
        assert (found.folder / "model.safetensors").read_bytes() == b"weights"
        assert (found.name, found.license) == ("org/good", "bigcode-openrail-m")
        assert "Attachment A" in (found.restrictions or "")
        assert not any(".bin" in asked for asked in remote.asked)

    def test_asks_the_network_only_once(self, resolve: Resolve, remote: HubServer) -> None:
        folder = resolve("org/good").folder
        remote.asked.clear()
        assert resolve("org/good").folder == folder
        assert resolve("org/good", offline=True).folder == folder
        assert remote.asked == []

    def test_a_revision(self, resolve: Resolve, remote: HubServer) -> None:
        assert resolve(f"org/good@{COMMIT}").folder.name == COMMIT
        with pytest.raises(HubError, match="revision"):
            resolve("org/good@nope")

    def test_offline_says_how_to_bring_it_here(self, resolve: Resolve, remote: HubServer) -> None:
        with pytest.raises(HubError) as caught:
            resolve("org/good", offline=True)
        for words in (
            "org/good is not on this machine",
            "hf download org/good",
            "--local-dir good",
            "'starter'",
        ):
            assert words in str(caught.value)
        assert remote.asked == []

    def test_a_network_that_is_down_says_so_too(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        with pytest.raises(HubError, match="hf download org/good"):
            hub.resolve("org/good", cache_dir=tmp_path, endpoint=f"http://127.0.0.1:{port}")

    def test_another_architecture_is_refused_before_its_weights_are_fetched(
        self, resolve: Resolve, remote: HubServer
    ) -> None:
        with pytest.raises(ConfigError, match=r"'gemma2'.*llama-server -m"):
            resolve("org/gemma2")
        assert not any("safetensors" in asked for asked in remote.asked)

    def test_pickled_only(self, resolve: Resolve, remote: HubServer) -> None:
        with pytest.raises(HubError, match=r"no \.safetensors file"):
            resolve("org/pickled")
        assert not any(".bin" in asked for asked in remote.asked)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("org/none", "no model 'org/none', or it is private"),
            ("org/gated", "accept its licence.*hf auth login"),
            ("org/empty", "no config.json"),
            ("org/bare", "no tokenizer.json"),
        ],
    )
    def test_what_is_wrong_is_named(self, resolve: Resolve, name: str, words: str) -> None:
        with pytest.raises(HubError, match=words):
            resolve(name)


class TestFolders:
    def test_a_folder(self, tmp_path: Path) -> None:
        found = hub.resolve(str(folder_with(tmp_path / "mine", GOOD)))
        assert (found.folder, found.name) == (tmp_path / "mine", "mine")

    def test_a_relative_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder_with(tmp_path / "mine", GOOD)
        monkeypatch.chdir(tmp_path)
        assert hub.resolve("./mine").name == "mine"
        assert hub.resolve("mine").name == "mine"

    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(HubError, match=r"'starcoder' is neither 'starter'.*bigcode/starcoderbase-1b"):
            hub.resolve("starcoder")

    def test_pickles_are_refused_with_the_way_out(self, tmp_path: Path) -> None:
        folder = folder_with(tmp_path / "old", without("model.safetensors"))
        with pytest.raises(HubError, match=r"pickle can run any code.*save_pretrained"):
            hub.resolve(str(folder))

    def test_a_folder_in_the_workspace_is_not_the_bundled_model(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder_with(tmp_path / "starter", GOOD)
        monkeypatch.chdir(tmp_path)
        assert hub.bundled_folder().is_absolute()
        monkeypatch.setattr(hub, "bundled_folder", lambda: tmp_path / "absent")
        with pytest.raises(HubError, match="absent"):
            hub.resolve("starter")


class TestNotice:
    def test_is_shown_once_for_each_model(self, tmp_path: Path) -> None:
        text = restrictions_of("bigcode-openrail-m")
        assert text is not None
        assert hub.first_notice("a", text, folder=tmp_path) == text
        assert hub.first_notice("a", text, folder=tmp_path) is None
        assert hub.first_notice("b", text, folder=tmp_path) == text
        assert hub.first_notice("a", text + " More.", folder=tmp_path) is not None

    def test_is_not_shown_for_a_free_licence(self, tmp_path: Path) -> None:
        assert hub.first_notice("a", restrictions_of("apache-2.0"), folder=tmp_path) is None
        assert not any(tmp_path.iterdir())


class TestLicence:
    @pytest.mark.parametrize(
        ("card", "licence"),
        [
            ("---\nlicense: mit\n---\n", "mit"),
            ("---\ntags: [a]\nlicense: 'apache-2.0'  # free\n---\ntext", "apache-2.0"),
            ("---\nlicense: other\nlicense_name: my-terms\n---\n", "my-terms"),
            ("---\nlicense: other\n---\n", "other"),
            ("---\r\nlicense: mit\r\n---\r\n", "mit"),
            ("# No front matter\n\nlicense: mit\n", None),
            ("---\ntitle: x\n---\nlicense: mit\n", None),
            ("", None),
        ],
    )
    def test_of_a_card(self, card: str, licence: str | None) -> None:
        assert licence_of_card(card) == licence

    def test_of_a_file_where_there_is_no_card(self, tmp_path: Path) -> None:
        (tmp_path / "LICENSE").write_text("BigCode OpenRAIL-M v1 License Agreement\n...")
        assert read_licence(tmp_path) == "bigcode-openrail-m"
        assert read_licence(tmp_path / "none") is None

    @pytest.mark.skipif(not LICENSEE.is_dir(), reason="shared/data/licensee is not beside this checkout")
    @pytest.mark.parametrize(
        ("name", "licence"),
        [
            ("mit", "mit"),
            ("mit_markdown", "mit"),
            ("apache-2.0_markdown", "apache-2.0"),
            ("bsd-3-clause_markdown", "bsd-3-clause"),
            ("gpl-3.0_markdown", None),
            ("lgpl-2.1_markdown", None),
            ("cc-by-nc-sa", None),
        ],
    )
    def test_of_real_texts(self, name: str, licence: str | None) -> None:
        assert read_licence(LICENSEE / name) == licence

    @pytest.mark.parametrize("licence", ["bigcode-openrail-m", "OpenRAIL++", "creativeml-openrail-m"])
    def test_openrails_restrict(self, licence: str) -> None:
        assert licence in (restrictions_of(licence) or "")

    @pytest.mark.parametrize("licence", ["mit", "apache-2.0", None, "other"])
    def test_others_do_not(self, licence: str | None) -> None:
        assert restrictions_of(licence) is None

    def test_an_unknown_text(self) -> None:
        assert licence_of_text("All rights reserved.") is None
