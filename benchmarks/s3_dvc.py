"""DVC with a bucket behind it, to compare with: ``dvc push`` and ``dvc pull`` of many small files.

DVC is no dependency: the one found on the path, or named, is used if it has its S3 part.
"""

from __future__ import annotations

import secrets
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import run


class Dvc:
    """A program that was found; each round gets a repository of its own."""

    def __init__(self, program: str, environment: Mapping[str, str]) -> None:
        self._program = shlex.quote(program)
        self._environment = dict(environment)

    @staticmethod
    def find(program: str | None, environment: Mapping[str, str]) -> Dvc | None:
        """Return DVC if it is there and knows S3; ``program`` is where, if not on the path."""
        found = shutil.which(program or "dvc")
        if found is None:
            return None
        told = subprocess.run(
            [found, "doctor"], capture_output=True, text=True, check=False, cwd="/"
        ).stdout
        return Dvc(found, environment) if "s3 (" in told else None

    def version(self) -> str:
        """Return its version."""
        told = subprocess.run(
            f"{self._program} --version", shell=True, capture_output=True, text=True, check=True
        )
        return told.stdout.strip()

    def round(
        self, folder: Path, data: Path, *, endpoint: str, bucket: str
    ) -> dict[str, dict[str, float]]:
        """Add, push, and pull with nothing cached; return the measures of each.

        ``add`` is what hashes and copies; it counts to neither of the others.
        """
        work = folder / f"dvc-{secrets.token_hex(4)}"
        work.mkdir()
        empty = work / "aws-config"  # it does not take /dev/null for one
        empty.touch()
        files = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), str(empty))
        environment = {**self._environment, **files, "HOME": str(work), "DVC_NO_ANALYTICS": "1"}

        def dvc(line: str) -> dict[str, float]:
            return run(f"{self._program} {line}", env=environment, cwd=work)

        dvc("init -q --no-scm")
        dvc(f"remote add -q -d bucket s3://{bucket}/{work.name}")
        dvc(f"remote modify -q bucket endpointurl {endpoint}")
        shutil.copytree(data, work / "many")
        found = {"add": dvc("add -q many"), "push": dvc("push -q")}
        shutil.rmtree(work / ".dvc" / "cache")
        shutil.rmtree(work / ".dvc" / "tmp", ignore_errors=True)
        (work / "many").rename(work / "pushed")
        found["pull"] = dvc("pull -q")
        return found
