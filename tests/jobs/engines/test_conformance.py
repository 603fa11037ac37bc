"""Every engine keeps the contract: this machine, a real Slurm, a real Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ahstore.jobs.engines.contract import Engine, Job
from ahstore.jobs.engines.local import LocalEngine
from ahstore.jobs.engines.ray import RayEngine
from ahstore.jobs.engines.slurm import SlurmEngine
from ahstore.storage.process import ProcessIdentity
from ahstore.testing.engine_servers import free_port
from ahstore.testing.engine_suite import EngineSuite


class TestThisMachine(EngineSuite):
    takes_secrets = True

    def make(self, tmp_path: Path) -> Engine:
        return LocalEngine(os.environ, lambda: 0)

    def stranger(self, engine: Engine, tmp_path: Path) -> Job:
        here = ProcessIdentity.current()
        process = ProcessIdentity(here.host, "another-boot", here.namespace, 1, 1)
        return Job("local", "suite-none", "1", {"log": str(tmp_path / "none.log")}, process=process)

    def unreachable(self, tmp_path: Path) -> tuple[Engine, Job]:
        process = ProcessIdentity("another-host", "another-boot", "pid:[1]", 1, 1)
        return self.make(tmp_path), Job("local", "suite-none", "1", process=process)


class TestSlurm(EngineSuite):
    @pytest.fixture(autouse=True)
    def _cluster(self, slurm: Mapping[str, str]) -> None:
        self.variables = slurm

    def make(self, tmp_path: Path) -> Engine:
        return SlurmEngine(os.environ, exported=["PATH", "HOME"])

    def stranger(self, engine: Engine, tmp_path: Path) -> Job:
        announced: list[Job] = []

        def announce(job: Job) -> None:
            announced.append(job)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            engine.submit(self.request(tmp_path, "true"), announce)
        return Job("slurm", announced[0].name, "888888", announced[0].place)

    def unreachable(self, tmp_path: Path) -> tuple[Engine, Job]:
        (tmp_path / "slurm.conf").write_text(
            f"ClusterName=none\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort={free_port()}\n"
            "MessageTimeout=2\nNodeName=localhost\nPartitionName=p Nodes=ALL\n"
        )
        engine = SlurmEngine({**os.environ, "SLURM_CONF": str(tmp_path / "slurm.conf")})
        return engine, Job("slurm", "suite-none", "1", {"cluster": "none", "controller": "x"})


@pytest.mark.long
class TestRay(EngineSuite):
    refuses_too_much = False

    @pytest.fixture(autouse=True)
    def _cluster(self, ray: Mapping[str, str]) -> None:
        self.variables = ray

    def make(self, tmp_path: Path) -> Engine:
        return RayEngine(self.variables["RAY_API_SERVER_ADDRESS"])

    def stranger(self, engine: Engine, tmp_path: Path) -> Job:
        address = self.variables["RAY_API_SERVER_ADDRESS"]
        return Job("ray", "suite-none", "suite-none", {"address": address})

    def unreachable(self, tmp_path: Path) -> tuple[Engine, Job]:
        address = f"http://127.0.0.1:{free_port()}"
        return RayEngine(address), Job("ray", "suite-none", "suite-none", {"address": address})
