"""requirements.lock is what pyproject.toml asks for, from any index, byte for byte."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2]
LOCK = (PROJECT / "requirements.lock").read_text()


def pinned() -> dict[str, list[str]]:
    """Return each package's pinned versions: several where they differ by Python."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE):
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


def test_every_dependency_is_pinned_to_a_version_that_fits() -> None:
    # A dependency added to pyproject.toml alone would break every fresh clone: pip is told to
    # install nothing but what the lock names.
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    asked = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["examples"],
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
    ]
    versions = pinned()
    for requirement in map(Requirement, asked):
        found = versions.get(canonicalize_name(requirement.name), [])
        assert found, f"{requirement} is not in requirements.lock: run make lock"
        assert all(requirement.specifier.contains(each) for each in found), requirement


def test_every_pin_has_hashes_and_no_index_is_named() -> None:
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)
    assert entries[0] == ""
    assert all("--hash=sha256:" in entry for entry in entries[1:])
    assert "://" not in LOCK
    assert "--index-url" not in LOCK
    assert "--find-links" not in LOCK
