"""What looks like a secret: by the name of a file or variable, or by what it holds.

Signs, not proofs: what has none may be secret all the same. They are for refusing and leaving out,
never for saying that something is safe.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

_FILES = (
    ".env", ".env.*", "*.env", ".envrc",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.ppk",
    "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.gpg", "*.asc",
    "credentials", "credentials.*", "*credentials.json", "*_credentials", "secret", "secrets",
    "secret.*", "secrets.*", "*.secret", "*.secrets", "token", "token.*", "*.token",
    "client_secret*.json", "service-account*.json", "service_account*.json", "kubeconfig",
    ".netrc", "_netrc", ".pgpass", ".my.cnf", ".npmrc", ".pypirc", ".git-credentials", ".htpasswd",
    ".boto", ".s3cfg", "rclone.conf", ".dockercfg", ".vault-token", "*.tfvars", "*.tfstate",
    "passwords*", "passwd", "*.passwd", "*.password",
)  # fmt: skip
_FOLDERS = frozenset({".aws", ".ssh", ".gnupg", ".azure", ".gcloud", ".kube"})
_PERHAPS_FOLDERS = frozenset({"secret", "secrets", ".secret", ".secrets", "credentials"})
_PATHS = (".docker/config.json", ".config/gh/hosts.yml")
_HARMLESS = (
    "*.example", "*.sample", "*.template", "*.dist", "*.pub", "*.md", "*.rst",
    "*.py", "*.pyi", "*.pyx", "*.c", "*.cc", "*.cpp", "*.cu", "*.h", "*.hpp", "*.js", "*.ts",
    "*.go", "*.rs", "*.java", "*.jl", "*.r",
)  # fmt: skip
"""Code and samples: what they hold is looked at all the same (``find_secret``)."""

_VARIABLE = re.compile(
    r"SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|APIKEY|API_KEY|ACCESS_KEY|AUTH|COOKIE"
    r"|SESSION|SIGNATURE|(?:\A|_)(?:KEY|PWD|PAT|DSN|SAS)(?:\Z|_)|_KEY\d*\Z",
    re.IGNORECASE,
)

_CONTENT: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("a private key", re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    ("an access key of AWS", re.compile(rb"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])")),
    ("a token of GitHub", re.compile(rb"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{40})")),
    ("a token of GitLab", re.compile(rb"(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{20}")),
    ("a token of Hugging Face", re.compile(rb"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30}")),
    ("a token of Slack", re.compile(rb"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10}")),
    ("a key of Google", re.compile(rb"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}")),
    ("a secret key", re.compile(rb"(?<![A-Za-z0-9])sk-(?:[a-z]+-)*[A-Za-z0-9_-]{32}")),
    ("a password in a URL", re.compile(rb"[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"{}<>$]{1,64}:[^\s/@'\"{}<>$]{4,256}@[a-z0-9]", re.IGNORECASE)),
)  # fmt: skip


def is_secret_file(path: str) -> bool:
    """Tell whether the name of a file, or of a folder that it is in, says that it holds secrets."""
    lower = path.lower()
    *folders, name = lower.split("/")
    if not _FOLDERS.isdisjoint(folders) or lower.endswith(_PATHS):
        return True
    if any(fnmatchcase(name, pattern) for pattern in _HARMLESS):
        return False
    return not _PERHAPS_FOLDERS.isdisjoint(folders) or any(
        fnmatchcase(name, pattern) for pattern in _FILES
    )


def is_secret_variable(name: str, value: str) -> bool:
    """Tell whether the value of a variable must not be written down."""
    return _VARIABLE.search(name) is not None or find_secret(value.encode()) is not None


def find_secret(data: bytes) -> str | None:
    """Return what kind of secret ``data`` seems to hold, None if it shows no sign of one."""
    return next((kind for kind, sign in _CONTENT if sign.search(data)), None)
