"""The real pilot, packed and started as at a site, against a gateway in a thread."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.build import build
from tests.pilot.stub import SECRET, Stub


class Pilots:
    """Starts pilots in one work directory; ends those that a test left running."""

    def __init__(self, archive: Path, work_dir: Path, url: str) -> None:
        self.archive, self.work_dir, self.url = archive, work_dir, url
        self.running: list[subprocess.Popen[bytes]] = []
        self.log = work_dir / "pilot.log"
        self.python = sys.executable

    def start(self, *arguments: str, secret: str = SECRET, **environment: str) -> subprocess.Popen[bytes]:
        told = ["--url", self.url, "--vo", "lhcb", "--stamp", "s1", "--site", "LCG.CERN.cern"]
        told += ["--work-dir", str(self.work_dir)]
        settings = ["--cpu-power", "10", "--grace", "0.5", "--processors", "2", "--idle-exit", "30", *arguments]
        variables = {"PATH": os.environ["PATH"], "SPINOR_PILOT_SECRET": secret, **environment}
        with self.log.open("ab") as log:
            pilot = subprocess.Popen([self.python, self.archive, *told, *settings], env=variables, stderr=log)
        self.running.append(pilot)
        return pilot

    def run(self, *arguments: str) -> int:
        """Start and wait for the end; the exit code."""
        return self.start(*arguments).wait(60)

    def end(self) -> None:
        for pilot in self.running:
            if pilot.poll() is None:
                pilot.send_signal(signal.SIGTERM)
                try:
                    pilot.wait(10)
                except subprocess.TimeoutExpired:
                    pilot.kill()
                    pilot.wait()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(build(str(tmp_path_factory.mktemp("pilot") / "pilot.pyz")))


@pytest.fixture
def gateway() -> Iterator[Stub]:
    with Stub() as stub:
        yield stub


@pytest.fixture
def pilots(archive: Path, gateway: Stub, tmp_path: Path) -> Iterator[Pilots]:
    started = Pilots(archive, tmp_path, gateway.url)
    yield started
    started.end()
