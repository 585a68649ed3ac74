"""Files that no model is given, neither as context nor to train on: keys, passwords, certificates.

Patterns have .gitignore's syntax and are matched without regard to case. Zed's defaults
(`edit_predictions.disabled_globs`) are the beginning; the rest are the names under which common
tools keep credentials. For completions a user changes the list with the setting `exclude.globs`.
"""

from __future__ import annotations

SECRET_GLOBS: tuple[str, ...] = (
    "**/.env*",
    "*.pem",
    "*.key",
    "*.cert",
    "*.crt",
    "*.cer",
    "*.der",
    "*.p12",
    "*.pfx",
    "*.ppk",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.asc",
    "*.gpg",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    ".dev.vars*",
    "secret.y*ml",
    "secrets.y*ml",
    "secret*.json",
    "secret*.toml",
    "credentials*",
    "!credentials.py",  # source code about credentials, not credentials
    "!credentials.[jt]s",
    "!credentials.go",
    "!credentials.rs",
    "service-account*.json",
    "service_account*.json",
    ".npmrc",
    ".yarnrc*",
    ".pypirc",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".my.cnf",
    ".htpasswd",
    ".git-credentials",
    ".vault-token",
    "*.tfvars",
    "*.tfstate*",
    ".ssh/",
    ".gnupg/",
    ".aws/",
    ".azure/",
    ".kube/",
    ".docker/config.json",
)
