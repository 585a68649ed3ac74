"""Files that no model is given, neither as context nor to train on: keys, passwords, certificates.

Patterns have .gitignore's syntax and are matched without regard to case. They are what secret scanners
look for by name: the file rules of whispers (`file-known`) and of gitrob and shhgit (signatures of names,
extensions and paths), the files of the benchmark leaky-repo, and Zed's `edit_predictions.disabled_globs`.
Left out of these lists is what is code or data first, and secret only by what somebody wrote into it
(`settings.py`, `.bashrc`, dumps, logs): texts are looked at besides (`lsp.documents.secrets`).
For completions a user changes the list with the setting `exclude.globs`.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import PurePath

from model.local.gitignore import Patterns

SECRET_GLOBS: tuple[str, ...] = (
    # Environments
    "*.env",
    "**/.env*",
    ".flaskenv",
    ".dev.vars*",
    "local.settings.json",
    # Keys, certificates and stores of them
    "*.pem",
    "*.key",
    "*.cert",
    "*.crt",
    "*.cer",
    "*.der",
    "*.p7b",
    "*.p8",
    "*.p12",
    "*.pfx",
    "*.pkcs12",
    "*.ppk",
    "*.pvk",
    "*.jks",
    "*.bks",
    "*.keystore",
    "*.keyring",
    "*.keychain*",
    "*.agilekeychain",
    "*.keytab",
    "*.kdb",
    "*.kdbx",
    "*.kwallet",
    "*.psafe3",
    "*.asc",
    "*.gpg",
    "*.pgp",
    "*.ovpn",
    "*.tblk",
    "*.cscfg",
    "*.publishsettings",
    "*.rdp",
    "*.bek",
    "*.fve",
    "*.tpm",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "*_rsa",
    "*_dsa",
    "*_ecdsa",
    "*_ed25519",
    "otr.private_key",
    # Named for it
    "secret.y*ml",
    "secrets.y*ml",
    "*[-.]secret.y*ml",
    "*[-.]secrets.y*ml",
    "secret*.json",
    "secret*.toml",
    "secret*.properties",
    "secret*.ini",
    "secret_token.rb",
    "client_secret*.json",
    "credentials*",
    ".credentials*",
    "*credentials.json",
    "!credentials.py",  # source code about credentials, not credentials
    "!credentials.[jt]s",
    "!credentials.go",
    "!credentials.rs",
    "service-account*.json",
    "service_account*.json",
    "*firebase-adminsdk*.json",
    "accessTokens.json",
    "keyfile.json",
    "logins.json",
    ".vault-token",
    ".vault_pass*",
    "vault_pass*",
    # Package managers and version control
    ".npmrc",
    ".yarnrc*",
    ".pypirc",
    "pip.conf",
    "**/.gem/credentials",
    "**/.bundle/config",
    "**/.gradle/gradle.properties",
    "**/.m2/settings*.xml",
    "auth.json",
    ".git-credentials",
    "**/.config/hub",
    "**/.config/gh/",
    "**/.subversion/auth/",
    # Databases, mail, file transfer, remote machines
    ".netrc",
    "_netrc",
    ".authinfo*",
    ".pgpass",
    "pgpass.conf",
    ".my.cnf",
    ".mylogin.cnf",
    "database.yml",
    "mongoid.yml",
    "robomongo.json",
    ".dbeaver-data-sources*",
    "dbeaver-data-sources*",
    "dataSources*.xml",
    "WebServers.xml",
    "Favorites.plist",
    ".htpasswd",
    "htpasswd",
    "proftpdpasswd",
    ".fetchmailrc",
    ".msmtprc",
    ".muttrc",
    ".ftpconfig",
    ".remote-sync.json",
    "sftp-config*.json",
    "**/.vscode/sftp.json",
    "filezilla.xml",
    "recentservers.xml",
    "sitemanager.xml",
    "ventrilo_srv.ini",
    "**/etc/passwd",
    "**/etc/shadow",
    "**/etc/gshadow",
    # Applications
    "wp-config*.php",
    "LocalSettings.php",
    "config.inc.php",
    "jenkins.plugins.publish_over_ssh.BapSshPublisherPlugin.xml",
    "configuration.user.xpl",
    "heroku.json",
    ".tugboat",
    ".trc",
    # Clouds and clusters
    "*.tfvars",
    "*.tfvars.json",
    "*.tfstate*",
    ".terraformrc",
    "terraform.rc",
    ".s3cfg",
    "s3cfg",
    ".boto",
    "rclone.conf",
    ".dockercfg",
    "kubeconfig*",
    "*.kubeconfig",
    "**/etc/kubernetes/*.conf",
    "k3s.yaml",
    "**/.config/gcloud/",
    "**/.config/doctl/",
    # What was typed
    ".*_history",
    ".history",
    # Folders of secrets
    ".ssh/",
    ".gnupg/",
    ".aws/",
    ".azure/",
    ".kube/",
    ".docker/",
    ".oci/",
    ".bluemix/",
    ".password-store/",
    ".purple/",
    ".irssi/",
    ".recon-ng/",
    ".mozilla/",
    "**/.local/share/keyrings/",
)


@cache
def secret_patterns() -> Patterns:
    """The patterns above."""
    return Patterns.of_lines(SECRET_GLOBS, origin="secret files", ignore_case=True)


def is_secret(path: PurePath, *, is_folder: bool = False) -> bool:
    """Whether a file or folder, or a folder that it lies in, is secret; `path` may begin anywhere."""
    return _names(path, is_folder=is_folder) or _is_in_secret_folder(path.parent)


@lru_cache(maxsize=1024)
def _is_in_secret_folder(folder: PurePath) -> bool:
    return folder != folder.parent and is_secret(folder, is_folder=True)


def _names(path: PurePath, *, is_folder: bool) -> bool:
    verdict = secret_patterns().verdict(path.relative_to(path.anchor).as_posix(), is_folder=is_folder)
    return verdict is not None and not verdict.negated
