from __future__ import annotations

import pytest

from training.corpus.pii import IPV4_REPLACEMENTS, IPV6_REPLACEMENTS, is_public_ip, redact

AWS_KEY = "AKIA" + "IOSFODNN7" + "ABCDEFG"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("# Author: Ada <ada.l+x@calc-engine.co.uk>", "# Author: Ada <<EMAIL>>"),
        ("mailto: a_b@host.io, c@d.org.", "mailto: <EMAIL>, <EMAIL>."),
        (f"key = '{AWS_KEY}'", "key = '<KEY>'"),
        ("token: ghp_" + "a1B2" * 9, "token: <KEY>"),
        ("AIza" + "x" * 35, "<KEY>"),
        ("sk_live_" + "4eC39Hq" * 3, "<KEY>"),
        ("eyJ" + "a" * 20 + ".eyJ" + "b" * 20 + "." + "c" * 20, "<KEY>"),
        ("host = '93.184.216.34'", f"host = '{IPV4_REPLACEMENTS[0]}'"),
        ("host = '2606:2800:220:1:248:1893:25c8:1946'", f"host = '{IPV6_REPLACEMENTS[0]}'"),
    ],
)
def test_personal_data_is_replaced(text: str, clean: str) -> None:
    assert redact(text)[0] == clean


@pytest.mark.parametrize(
    "text",
    [
        "user@example.com",
        "someone@mail.example.org",
        "@decorator.method",
        "git clone git@host:path/x.git",
        "https://user:pass@host.io/path",
        "a @ b.c",
        "127.0.0.1 10.0.0.1 192.168.1.1 8.8.8.8 1.1.1.1",
        "version 93.184.216.34",
        "requires==4.20.1.1",
        "RFC 9110 section 8.4.1.3",
        "1.2.3.4.5",
        "999.184.216.34",
        "::1 fe80::1 x[1::2] a::b",
        "00:1A:2B:3C:4D:5E",
        "12:30:45",
        "AKIA_NOT_A_KEY",
        "-----BEGIN PRIVATE KEY-----\\n",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redact(text) == (text, {})


def test_a_private_key_block_is_replaced_whole() -> None:
    body = ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 2 + "\n") * 8
    text, found = redact(f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----\n")
    assert text == "-----BEGIN RSA PRIVATE KEY-----<KEY>-----END RSA PRIVATE KEY-----\n"
    assert found == {"key": 1}


def test_one_address_always_gets_the_same_replacement() -> None:
    text, found = redact("a 93.184.216.34 b 93.184.216.35 c 93.184.216.34")
    assert text == f"a {IPV4_REPLACEMENTS[0]} b {IPV4_REPLACEMENTS[1]} c {IPV4_REPLACEMENTS[0]}"
    assert found == {"ip": 3}


def test_kinds_are_counted() -> None:
    assert redact(f"a@b.io c@d.io {AWS_KEY} 93.184.216.34")[1] == {"email": 2, "key": 1, "ip": 1}


def test_redacting_twice_changes_nothing_more() -> None:
    once, _ = redact(f"a@b.io {AWS_KEY} 93.184.216.34 2606:2800:220:1:248:1893:25c8:1946")
    assert redact(once) == (once, {})


def test_public_means_somebodys() -> None:
    assert is_public_ip("93.184.216.34")
    assert not any(map(is_public_ip, ("10.1.2.3", "8.8.8.8", "224.0.0.1", "300.1.1.1", "no")))
