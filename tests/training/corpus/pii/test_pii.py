from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.corpus.pii.redacting import redacted
from training.corpus.formats.marked import MarkedText
from training.corpus.pii import keys
from training.corpus.pii.addresses import is_public_ip
from training.corpus.pii.gibberish import is_gibberish
from training.corpus.pii.redact import IPV4_REPLACEMENTS, IPV6_REPLACEMENTS, redact
from training.corpus.pii.scoring import unmarked
from training.corpus.records.document import CorpusDocument

LABELLED = Path(__file__).with_name("pii_labelled.jsonl")
AWS_KEY = "AKIA" + "IOSFODNN7" + "ABCDEFG"
RANDOM = "Zx81kQp92LmVt07RwYb34NcJk81HsQx"


def clean(text: str) -> str:
    return redacted(text)[0]


def kinds(text: str) -> list[str]:
    return [one.kind.value for one in redacted(text)[1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Author: Ada <ada.l+x@calc-engine.co.uk>", "# Author: Ada <<EMAIL>>"),
        ("mailto: a_b@host.io, c@d.org.", "mailto: <EMAIL>, <EMAIL>."),
        (f"key = '{AWS_KEY}'", "key = '<KEY>'"),
        ("token: ghp_" + "a1B2" * 9, "token: <KEY>"),
        ("AIza" + "x" * 35, "<KEY>"),
        ("sk_live_" + "4eC39Hq" * 3, "<KEY>"),
        ("eyJ" + "a" * 20 + ".eyJ" + "b" * 20 + "." + "c" * 20, "<KEY>"),
        ("glpat-" + "x1Y2z" * 4, "<KEY>"),
        ("xoxb-" + "123456789012-" * 2 + "AbCdEfGhIjKl", "<KEY>"),
        (f"api_key = '{RANDOM}'", "api_key = '<KEY>'"),
        ("host = '93.184.216.34'", f"host = '{IPV4_REPLACEMENTS[0]}'"),
        ("host = '2606:2800:220:1:248:1893:25c8:1946'", f"host = '{IPV6_REPLACEMENTS[0]}'"),
        ("the dns is at 5.6.7.8 now", f"the dns is at {IPV4_REPLACEMENTS[0]} now"),
        ("password = 'hunter2!x'", "password = '<PASSWORD>'"),
        ('{"db_password": "Tr0ub4dor&3"}', '{"db_password": "<PASSWORD>"}'),
        ("postgres://admin:S3cr3tPw@db.host/x", "postgres://admin:<PASSWORD>@db.host/x"),
        ("smtp_password: s3ndM41l-now\n", "smtp_password: <PASSWORD>\n"),
    ],
)
def test_personal_data_is_replaced(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "user@example.com",
        "someone@mail.example.org",
        "icon@2x.png",
        "@decorator.method",
        "git clone git@host:path/x.git",
        "a @ b.c",
        "127.0.0.1 10.0.0.1 192.168.1.1 8.8.8.8 1.1.1.1",
        "version 93.184.216.34",
        "requires==4.20.1.1",
        "lib 4.5.6.7 is out",
        "RFC 9110 section 8.4.1.3",
        "1.2.3.4.5",
        "999.184.216.34",
        "33.01.33.33",
        "::1 fe80::1 x[1::2] a::b",
        "00:1A:2B:3C:4D:5E",
        "12:30:45",
        "AKIA_NOT_A_KEY",
        "-----BEGIN PRIVATE KEY-----\\n",
        "sha256 = 'd2c76f7e5e6e1ad2f9d1fbb43f1a29dd67bfb6a8f7c2b8f81ae8ef5f3c9e6b3d'",
        "id = '123e4567-e89b-12d3-a456-426614174000'",
        "alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'",
        "name = 'this_is_a_long_identifier_of_words'",
        "url_alphabet = 'ModuleSymbhasOwnPr-0123456789ABCDEFGHNRVfgctiUvz_KqYTJkLxpZXIjQW'",
        "fields = ('username', 'password', 'credit_card')",
        "status: Literal['PASS', 'FAIL', 'SKIP']",
        "secret = 'SHOULD_BE_STRIPPED'",
        "prompt = \"{}'s password: \".format(user, options['host'])",
        "password = getpass('Password: ')",
        "password = os.environ['DB_PASSWORD']",
        "password = '<your password>'",
        "password = '${DB_PASSWORD}'",
        "password: 'changeme'",
        "if password != 'password':",
        "https://user:password@host.io/path",
        "password = ''",
        "'password': 'Enter your password here'",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redacted(text) == (text, [])


def test_a_private_key_block_is_replaced_whole() -> None:
    body = ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 2 + "\n") * 8
    text = f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----\n"
    assert clean(text) == "-----BEGIN RSA PRIVATE KEY-----<KEY>-----END RSA PRIVATE KEY-----\n"
    assert kinds(text) == ["key"]


def test_one_address_always_gets_the_same_replacement() -> None:
    text = "a 93.184.216.34 b 93.184.216.35 c 93.184.216.34"
    assert clean(text) == f"a {IPV4_REPLACEMENTS[0]} b {IPV4_REPLACEMENTS[1]} c {IPV4_REPLACEMENTS[0]}"
    assert kinds(text) == ["ip"] * 3


def test_the_sixth_address_begins_the_five_replacements_anew() -> None:
    text = " ".join(f"93.184.216.{number}" for number in range(10, 16))
    assert clean(text).split() == [*IPV4_REPLACEMENTS, IPV4_REPLACEMENTS[0]]


def test_places_are_those_of_the_text_as_it_was() -> None:
    text = f"by a@b.io, {AWS_KEY}, 93.184.216.34"
    values = [text[one.start : one.end] for one in redacted(text)[1]]
    assert values == ["a@b.io", AWS_KEY, "93.184.216.34"]


def test_redacting_twice_changes_nothing_more() -> None:
    once = clean(f"a@b.io {AWS_KEY} 93.184.216.34 2606:2800:220:1:248:1893:25c8:1946 pwd='abc-123-xyz'")
    assert redacted(once) == (once, [])


def test_a_file_about_hashes_has_no_keys_but_certain_ones() -> None:
    text = "".join(f"hash_{i} = '{RANDOM[i:]}{RANDOM[:i]}'\n" for i in range(5))
    assert redacted(text) == (text, [])
    assert kinds(f"{text}aws = '{AWS_KEY}'\n") == ["key"]


def test_special_tokens_are_not_touched_and_their_places_move() -> None:
    marked = (
        MarkedText().token("<issue_start>").plain("Title: a@b.io\n").token("<issue_comment>").plain("c@d.io")
    )
    document = CorpusDocument(
        repository="a/b",
        path="p",
        language="x",
        license="MIT",
        package="",
        text=marked.text,
        special=marked.special,
    )
    cleaned, replaced = redact(document)
    assert cleaned.text == "<issue_start>Title: <EMAIL>\n<issue_comment><EMAIL>"
    assert [cleaned.text[start:end] for start, end in cleaned.special] == ["<issue_start>", "<issue_comment>"]
    assert [marked.text[one.start : one.end] for one in replaced] == ["a@b.io", "c@d.io"]


def test_public_means_somebodys() -> None:
    assert is_public_ip("93.184.216.34")
    assert not any(map(is_public_ip, ("10.1.2.3", "8.8.8.8", "224.0.0.1", "300.1.1.1", "no")))


def test_words_are_no_gibberish() -> None:
    assert is_gibberish(RANDOM)
    assert not any(map(is_gibberish, ("configuration", "get_user_by_name", "internationalisation")))


def test_looking_only_at_likely_lines_loses_nothing() -> None:
    """The plugins on every line of real code find no more than on the lines that hints choose."""
    root = Path(__file__).resolve().parents[4]
    files = [*(root / "training").rglob("*.py"), *(root / "tests" / "training").glob("test_corpus_*.py")]
    texts = [path.read_text(encoding="utf-8") for path in files]
    texts += [unmarked(line)[0] for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    plugins = keys._plugins()
    for text in texts:
        likely, quoted = set(keys._hinted_lines(text)), set(keys._quoted_lines(text))
        for line in text.split("\n"):
            by_form = [*plugins.certain, *plugins.doubted]
            assert line in likely or not any([*keys._secrets(plugin, line)] for plugin in by_form), line
            assert line in quoted or not any(
                plugin.calculate_shannon_entropy(value) > plugin.entropy_limit
                for plugin in plugins.entropy
                for value in keys._secrets(plugin, line)
            ), line
