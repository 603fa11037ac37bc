"""Jobs of a Ray cluster, by the HTTP interface of its job submission; Ray itself is not needed here.

A job's id is the name we give it, so it is known before it is submitted. What Ray is told of a job
anyone may read in its dashboard: no secret is among it. Ray keeps a job's state for as long as its
head lives (``session``); one of an earlier session is lost.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ahstore.errors import EngineError, EngineUnreachableError, InvalidInputError
from ahstore.jobs.engines.contract import (
    MAX_LOG_BYTES,
    Engine,
    Job,
    JobRequest,
    JobState,
    JobStatus,
)
from ahstore.jobs.resources import Resources
from ahstore.storage.process import ProcessIdentity

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ANSWER_SECONDS = 30.0
SUBMIT_TRIES = 5
SUBMIT_PAUSE_SECONDS = 2.0
OPTIONS = ("runtime-env", "resources")

_STATES: Mapping[str, JobState] = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "ended",
    "FAILED": "ended",
    "STOPPED": "ended",
}
_NO_CODE = re.compile(r"[^A-Za-z0-9_-]")
_LOOPBACK = ("localhost", "::1")
_ADDRESS, _SESSION, _HOST = "address", "session", "host"


class RayEngine(Engine):
    """Jobs of the cluster at ``address``, the URL of its dashboard.

    Args:
        address: ``http://host:8265``; without userinfo.
        token: the cluster's, if it asks for one; sent as a header, recorded nowhere.
        headers: further ones, likewise.
        options: ``runtime-env`` and ``resources``, JSON objects as Ray's job submission takes them.
    """

    name: ClassVar[str] = "ray"

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._address = check_address(address)
        self._headers = dict(headers or {})
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._options = dict(options or {})
        self._runtime_env = _json_object(self._options, "runtime-env")
        if "env_vars" in self._runtime_env:
            raise InvalidInputError(
                "runtime-env: env_vars are shown in Ray's dashboard, where secrets must not be:"
                " set variables on the nodes"
            )
        self._custom = _json_object(self._options, "resources")

    def check(self, request: JobRequest) -> None:
        """See that the cluster answers; what it can't satisfy waits there."""
        if request.secret_input is not None:
            raise EngineError("a job of Ray can't be given secrets: its nodes have to have them")
        if _NO_CODE.search(request.name):
            raise InvalidInputError(f"{request.name!r} can't be a job's id")
        self._version()

    def submit(self, request: JobRequest, announce: Callable[[Job], None]) -> Job:
        """Announce the job, whose id is its name, and submit it."""
        self.check(request)
        place = {_ADDRESS: self._address, _SESSION: self._version()}
        if _is_loopback(self._address):
            place[_HOST] = ProcessIdentity.current().host
        job = Job(self.name, request.name, request.name, place, self._options)
        announce(job)
        variables = [f"{name}={value}" for name, value in request.variables.items()]
        body = {
            "entrypoint": f"exec {shlex.join(['env', *variables, *request.argv])}",
            "submission_id": request.name,
            "runtime_env": self._runtime_env,
            **_entrypoint_resources(request.resources, self._custom),
        }
        for left in reversed(range(SUBMIT_TRIES)):
            try:
                self._ask("POST", "/api/jobs/", body)
            except EngineUnreachableError:
                # A head that has just begun takes no jobs yet; or only the answer was lost.
                if self._info(job) is not None:
                    break
                if not left:
                    raise
                time.sleep(SUBMIT_PAUSE_SECONDS)
            else:
                break
        return job

    def find(self, job: Job) -> Job | None:
        """Ask for the job's id."""
        self._check_place(job)
        return None if self._info(job) is None else job

    def status(self, job: Job) -> JobStatus:
        """Ask how it fares; what the cluster does not know was one of an earlier session."""
        self._check_place(job)
        info = self._info(job)
        if info is None:
            return JobStatus("lost", detail="Ray knows it no more")
        state = _STATES.get(str(info.get("status")), "running")
        code = info.get("driver_exit_code")
        first = str(info.get("message") or "").partition("\n")[0].partition(", last available")[0]
        return JobStatus(
            state,
            code if state == "ended" and isinstance(code, int) else None,
            f"{info.get('status')}: {first}"[:500],
        )

    def log(self, job: Job) -> str:
        """Ask for its log."""
        self._check_place(job)
        with contextlib.suppress(EngineError):
            answer = self._ask("GET", f"/api/jobs/{job.id}/logs")
            return str(answer.get("logs") or "")[-MAX_LOG_BYTES:] if answer else ""
        return ""

    def cancel(self, job: Job) -> None:
        """Stop it: TERM to all its processes, and KILL after three seconds.

        Ray stops one that waits when its turn comes, or gives it up after some minutes by itself.
        """
        if not self.status(job).is_over:
            self._ask("POST", f"/api/jobs/{job.id}/stop")

    def _info(self, job: Job) -> Any:
        return self._ask("GET", f"/api/jobs/{job.id}")

    def _version(self) -> str:
        answer = self._ask("GET", "/api/version")
        if not isinstance(answer, dict) or "ray_version" not in answer:
            raise EngineError(f"what answers at {self._address} is no Ray dashboard")
        return str(answer.get("session_name") or "")

    def _check_place(self, job: Job) -> None:
        host = job.place.get(_HOST)
        if host is not None and host != ProcessIdentity.current().host:
            raise EngineUnreachableError(
                f"the job's Ray listens on another machine's {self._address} only"
            )

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the answer's JSON, None for 404.

        Raises:
            EngineError: Ray refuses.
            EngineUnreachableError: nobody answers, or with an error of the server's.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 (http and https only, see check_address)
            self._address + path,
            data=data,
            method=method,
            headers={"Content-Type": "application/json", **self._headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                text = answer.read().decode("utf-8", "replace")
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                words = error.read(100_000).decode("utf-8", "replace").strip()
            last = words.rsplit("\n", 1)[-1][:500] or error.reason
            kind = EngineError if error.code < 500 else EngineUnreachableError
            raise kind(f"Ray at {self._address} says {error.code}: {last}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise EngineUnreachableError(f"no Ray answers at {self._address}: {reason}") from error


def check_address(address: str) -> str:
    """Return the URL of a Ray dashboard without a slash at its end.

    Raises:
        InvalidInputError: it is no http or https URL, or holds a password.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidInputError(
            "the address of Ray is the URL of its dashboard: http://host:8265", value=parts.hostname
        )
    if "@" in parts.netloc:
        raise InvalidInputError(
            "the address of Ray must hold no user or password: use RAY_AUTH_TOKEN"
        )
    return address.rstrip("/")


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return host in _LOOPBACK or host.startswith("127.")


def _json_object(options: Mapping[str, str], key: str) -> dict[str, Any]:
    try:
        value = json.loads(options.get(key) or "{}")
    except ValueError as error:
        raise InvalidInputError(f"{key} must be JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInputError(f"{key} must be a JSON object")
    return value


def _entrypoint_resources(asked: Resources, custom: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if asked.cpus is not None:
        found["entrypoint_num_cpus"] = asked.cpus
    if asked.gpus:
        found["entrypoint_num_gpus"] = asked.gpus
    if asked.memory is not None:
        found["entrypoint_memory"] = asked.memory
    if custom:
        found["entrypoint_resources"] = dict(custom)
    return found
