"""Keys and credentials in texts: what is one, what is none, and lines that change."""

from __future__ import annotations

import random
import string

import pytest

from lsp.documents.secrets import SecretLines, has_secret

_RANDOM = random.Random(7)


def drawn(n_chars: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(_RANDOM.choice(alphabet) for _ in range(n_chars - 1)) + "7"


def drawn_letters(n_chars: int, alphabet: str = string.ascii_letters) -> str:
    return "".join(_RANDOM.choice(alphabet) for _ in range(n_chars))


HEX = "0123456789abcdef"


# Drawn here, so that no scanner finds them in this file.
@pytest.mark.parametrize(
    "line",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        'KEY = """-----BEGIN RSA PRIVATE KEY-----',
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        '"key": "-----BEGIN PRIVATE KEY-----\\nMIIE',
        f"AWS_SECRET_ACCESS_KEY={drawn(40)}",
        f"id: AKIA{drawn(16, string.ascii_uppercase + string.digits)}",
        f"token = 'ghp_{drawn(36)}'",
        f"API_KEY = '{drawn(32, HEX)}'",
        f'"apiKey": "{drawn(24)}",',
        f"DATABASE_URL=postgres://u:{drawn(12)}@db.host/x",
        f'password = "{drawn(16)}"',
        f"Authorization: Bearer {drawn(40)}",
        f"x = '{drawn(44)}'",
        f"secret_key_base: {drawn(128, HEX)}",
        f"sk_live_{drawn(24)}",
        f"eyJ{drawn(20)}.eyJ{drawn(30)}.{drawn(43)}",
        f'let secretKey: String = "{drawn(40)}"',
        f"//registry/:_authToken={drawn(36)}",
        f"<password>{drawn(20)}</password>",
        f"token = 'ghp_{drawn_letters(36)}'",
        f"API_KEY={drawn_letters(32)}",
        f'client_secret: "{drawn_letters(40, string.ascii_lowercase)}"',
    ],
    ids=range(22),
)
def test_a_secret_is_seen(line: str) -> None:
    assert has_secret(line)


@pytest.mark.parametrize(
    "line",
    [
        'if line.startswith("-----BEGIN PRIVATE KEY-----"):',
        "SECRET_VALUE = compute_secret_value()",
        f'"integrity": "sha512-{drawn(86)}=="',
        f'commit = "{drawn(40, HEX)}"',
        'password = os.environ["DB_PASSWORD_2"]',
        'api_key = "your-api-key-1234567890"',
        'key = "user_profile_settings_2"',
        "https://user:password@host/",
        'url = f"https://{user}:{password}@{host}"',
        'token = "550e8400-e29b-41d4-a716-446655440000"',
        "self.pad_token_id = config.t2u_pad_token_id",
        'token = "getHTMLParserOfDocument"',
        'private_key = "SessionManagerFactoryBean"',
        ".sk-circle-fade-dot-of-the-long-animation { color: red }",
        'password_field = "confirmationpasswordfield"',
    ],
)
def test_code_about_secrets_is_none(line: str) -> None:
    assert not has_secret(line)


def test_an_edit_costs_its_own_lines() -> None:
    secret = f"password = '{drawn(20)}'\n"
    lines = SecretLines(["a\n", "b\n", "c"])
    assert lines.first is None
    lines.replace(1, 1, ["x\n", secret])
    assert lines.first == 2
    lines.replace(0, 1, [])
    assert lines.first == 1
    lines.replace(1, 1, ["y\n"])
    assert lines.first is None
