"""Where a question goes: an index, the bundled model's portrait, or nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from attribution.match.portrait import build_portrait
from attribution.store.open import open_writer
from attribution.store.opt_outs import OptOut
from lsp.cli.checks import Check, Verdict
from lsp.cli.doctor import check_index
from lsp.settings.settings import Settings
from lsp.sources.store import AttributionStore, Where
from lsp.sources.texts import license_ids, summary
from tests.lsp.indexed import FILES, NEW, ROOT, build_index, documents, excerpt

COPIED = excerpt("lsp/completion/type_through.py", "def type_through", "def _typed").encode()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_index(tmp_path_factory.mktemp("attribution") / "index")


@pytest.mark.usefixtures("home")  # in which no model lies that "auto" would take
def test_where_follows_the_settings() -> None:
    assert Where.of(Settings()) == Where(index=None, model="starter")
    given = {"engine": {"url": "http://127.0.0.1:9"}, "attribution": {"index": "/x"}}
    settings, _ = Settings.from_mapping(given, source="test")
    assert Where.of(settings) == Where(index="/x", model=None)


@pytest.mark.skipif(
    not (ROOT / "model/starter/portrait.bin").exists(),
    reason="this checkout has no portrait in model/starter",
)
def test_the_bundled_models_portrait_and_the_command_for_more(tmp_path: Path) -> None:
    where = Where(index=str(tmp_path / "none"), model="starter")
    store = AttributionStore(where)
    answer = store.search(NEW.encode(), by_hand=True)
    assert (answer.kind, answer.findings) == ("portrait", ())
    assert answer.documents > 20_000
    assert f"starcoder-lsp index build --starter --into {where.index}" in answer.lack
    assert f"{answer.documents:,} files" in summary(answer, "starter")
    for model in ("bigcode/starcoderbase-1b", str(tmp_path), None):
        other = AttributionStore(Where(index=where.index, model=model)).search(COPIED, by_hand=True)
        assert other.kind == "none"
        assert "--starter" not in other.lack


def test_a_portrait_is_read_once(tmp_path: Path) -> None:
    build_portrait(documents(), tmp_path / "portrait.bin")
    store = AttributionStore(Where(index=str(tmp_path / "none"), model=str(tmp_path)))
    assert store.search(COPIED, by_hand=True).findings
    (tmp_path / "portrait.bin").write_bytes(b"a portrait is written anew")
    assert store.search(COPIED, by_hand=True).findings
    store.close()


def test_a_check_of_a_suggestion_asks_for_winnowed_fingerprints_only(index: Path) -> None:
    store = AttributionStore(Where(index=str(index)))
    # 22 tokens: less than what winnowing promises to find.
    text = b"    if now.uri != offer.state.uri or now.version < offer.state.version:"
    assert text in COPIED
    assert store.search(text, by_hand=True).findings
    assert not store.search(text, by_hand=False).findings
    assert store.search(COPIED, by_hand=False).findings
    store.close()


def test_removal_counts_from_the_next_question_on(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index")
    store = AttributionStore(Where(index=str(index)))
    (finding,) = store.search(COPIED, by_hand=False).findings
    assert finding.match is not None
    assert store.text_of(finding.match) is not None
    with open_writer(index, create=False) as writer:
        writer.remove([OptOut(repository="alice/gate")])
    answer = store.search(COPIED, by_hand=False)
    assert (answer.findings, answer.documents) == ((), len(FILES) - 1)
    assert store.text_of(finding.match) is None
    store.close()


def test_a_damaged_index_is_said_and_a_mended_one_is_used(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index")
    catalogue = index / "catalogue.sqlite"
    whole = catalogue.read_bytes()
    catalogue.unlink()
    catalogue.write_bytes(b"not a database" * 1000)
    store = AttributionStore(Where(index=str(index), model="starter"))
    answer = store.search(COPIED, by_hand=True)
    assert answer.kind == "none"
    assert str(index) in answer.lack
    catalogue.unlink()
    catalogue.write_bytes(whole)
    assert store.search(COPIED, by_hand=True).kind == "index"
    store.close()


def test_a_password_in_the_address_is_not_shown() -> None:
    store = AttributionStore(Where(index="http://me:secret@127.0.0.1:9/code"))
    answer = store.search(COPIED, by_hand=True)
    assert answer.kind == "none"
    assert answer.index == "http://127.0.0.1:9/code"
    assert "secret" not in answer.lack
    # Not tried again for each suggestion, but again by hand.
    assert store.search(COPIED, by_hand=False).lack == answer.lack


def test_without_the_extra_a_portrait_still_answers_and_an_index_says_what_to_install(
    tmp_path: Path, index: Path
) -> None:
    program = f"""
import sys
sys.modules["zstandard"] = sys.modules["rapidfuzz"] = None
from lsp.sources.store import AttributionStore, Where
none = AttributionStore(Where(index={str(tmp_path / "none")!r}, model="starter"))
print(none.search(b"x = 1", by_hand=True).kind)
print(AttributionStore(Where(index={str(index)!r}, model="starter")).search(b"x = 1", by_hand=True).lack)
"""
    ran = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    kind, lack = ran.stdout.splitlines()
    assert kind == ("portrait" if (ROOT / "model/starter/portrait.bin").exists() else "none")
    assert "pip install 'starcoder-lsp[attribution]'" in lack


@pytest.mark.parametrize(
    ("expression", "ids"),
    [
        ("MIT", ["MIT"]),
        ("(MIT OR Apache-2.0) AND MIT", ["MIT", "Apache-2.0"]),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-2.0-only"]),
        ("GPL-2.0+", ["GPL-2.0"]),
    ],
)
def test_the_licences_that_have_a_page(expression: str, ids: list[str]) -> None:
    assert license_ids(expression) == ids


def test_the_doctor_says_what_is_searched(index: Path, tmp_path: Path) -> None:
    def found(attribution: dict[str, str], **more: object) -> Check:
        settings, messages = Settings.from_mapping({"attribution": attribution, **more}, source="test")
        assert not messages
        return check_index(settings)

    good = found({"index": str(index)})
    assert good.verdict is Verdict.GOOD
    assert f"{len(FILES)} files in {index}" in good.finding
    missing = found({"index": str(tmp_path / "none")}, model=str(tmp_path))
    assert missing.verdict is Verdict.PROBLEM
    assert "starcoder-lsp index build" in missing.remedy
