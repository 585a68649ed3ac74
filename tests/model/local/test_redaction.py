"""No password leaves in a message."""

from __future__ import annotations

import pytest

from model.local.redaction import without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://host/v1", "http://host/v1"),
        ("http://me:secret@host/v1", "http://host/v1"),
        ("http://me:se@cret@host/v1", "http://host/v1"),
        ("http://me:se/cret@host/v1", "http://host/v1"),
        ("http://me:se/c@r/et@host:1/v1", "http://host:1/v1"),
        ("HTTPS://secret@host", "HTTPS://host"),
        ("cannot reach 'http://me:secret@host/v1': refused", "cannot reach 'http://host/v1': refused"),
        ("http://host/v1?api_key=secret&n=1", "http://host/v1?api_key=…&n=1"),
        ("http://host/v1?n=1&access-token=secret", "http://host/v1?n=1&access-token=…"),
        ("a@b.org wrote http://host", "a@b.org wrote http://host"),
    ],
)
def test_an_address_is_shown_without_what_opens_it(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    assert "secret" not in without_credentials(text)
