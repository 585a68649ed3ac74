"""The secret of a port: made, found by its user's programs, gone with the engine."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from model.local.port_token import published_token, token_file, token_for


def test_it_is_found_by_the_address_and_gone_afterwards(home: Path) -> None:
    with published_token(8123) as token:
        assert len(token) >= 32
        assert stat.S_IMODE(token_file(8123).stat().st_mode) == 0o600
        for host in ("127.0.0.1", "localhost", "[::1]"):
            assert token_for(f"http://{host}:8123/v1") == token
        with published_token(8124) as other:
            assert other != token
    assert token_for("http://127.0.0.1:8123/v1") is None


@pytest.mark.parametrize(
    "url", ["http://example.org:8123/v1", "http://127.0.0.1/v1", "http://127.0.0.1:9/v1"]
)
def test_no_other_server_is_given_one(home: Path, url: str) -> None:
    with published_token(8123):
        assert token_for(url) is None


def test_a_link_in_its_place_is_not_followed(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    token_file(8123).symlink_to(target)
    with published_token(8123):
        assert target.read_text() == "mine"
