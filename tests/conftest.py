"""Private servers for those who ask for them; nothing is started that no test wants."""

import asyncio
import os
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import NoReturn, TypeVar
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import settings
from servers import DEBIAN_POSTGRES, Missing, PostgreSQL, RabbitMQ, SeaweedFS, Server, Servers, wheel_postgres

from infra.app import CORE
from infra.migrate import migrate

settings.register_profile("untimed", deadline=None)  # a busy machine makes no test fail
settings.load_profile("untimed")
NOT_RUN = "NOT RUN, a server is missing: "
CLEANING = 120.0  # seconds
S = TypeVar("S", bound=Server)
_numbers = count(1)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Where private servers live; a test that wants one of its own starts it here."""
    together = Servers()
    yield together
    together.close()


@pytest.fixture(scope="session")
def postgres_server(servers: Servers) -> Iterator[PostgreSQL]:
    """PostgreSQL 18, with kill() and restart()."""
    yield from _running(lambda: PostgreSQL(servers, "postgres18", wheel_postgres()))


@pytest.fixture(scope="session")
def postgres15_server(servers: Servers) -> Iterator[PostgreSQL]:
    """Debian's PostgreSQL 15, with kill() and restart()."""
    yield from _running(lambda: PostgreSQL(servers, "postgres15", DEBIAN_POSTGRES))


@pytest.fixture(scope="session")
def rabbitmq_server(servers: Servers) -> Iterator[RabbitMQ]:
    """RabbitMQ with its management API (`call`), kill() and restart()."""
    yield from _running(lambda: RabbitMQ(servers, "rabbitmq"))


@pytest.fixture(scope="module")
def s3_server(servers: Servers) -> Iterator[SeaweedFS]:
    """SeaweedFS, with kill() and restart(); not for all tests, for it takes an eighth of a core when nobody asks it."""
    yield from _running(lambda: SeaweedFS(servers, f"s3-{next(_numbers)}"))


@pytest.fixture
def postgres(postgres_server: PostgreSQL) -> str:
    """The administrator's URL of PostgreSQL 18."""
    return _awake(postgres_server).url


@pytest.fixture
def postgres15(postgres15_server: PostgreSQL) -> str:
    """The administrator's URL of PostgreSQL 15."""
    return _awake(postgres15_server).url


@pytest.fixture(scope="session")
def template(postgres_server: PostgreSQL) -> str:
    """The name of a migrated database: a copy of it takes a quarter of the time that a migration takes."""
    return _migrated(postgres_server)


@pytest.fixture(scope="session")
def template15(postgres15_server: PostgreSQL) -> str:
    """The same on PostgreSQL 15."""
    return _migrated(postgres15_server)


@pytest.fixture
def database(postgres_server: PostgreSQL, template: str) -> Iterator[str]:
    """The URL of a database on PostgreSQL 18, as the system finds it when it has never run."""
    yield from _fresh_database(_awake(postgres_server), template)


@pytest.fixture
def database15(postgres15_server: PostgreSQL, template15: str) -> Iterator[str]:
    """The URL of a database on PostgreSQL 15, as the system finds it when it has never run."""
    yield from _fresh_database(_awake(postgres15_server), template15)


@pytest.fixture
def empty_database(postgres_server: PostgreSQL) -> Iterator[str]:
    """The URL of a database on PostgreSQL 18 that knows nothing of the system."""
    yield from _fresh_database(_awake(postgres_server), "template1")


@pytest.fixture
def programs15() -> Path:
    """Debian's PostgreSQL 15 for a test that starts its own."""
    if not (DEBIAN_POSTGRES / "initdb").exists():
        not_run("PostgreSQL 15 is not on this machine: apt-get install postgresql-15")
    return DEBIAN_POSTGRES


@pytest.fixture
def rabbitmq(rabbitmq_server: RabbitMQ) -> Iterator[str]:
    """The URL of a fresh virtual host."""
    vhost = f"test-{uuid4().hex[:12]}"
    yield _awake(rabbitmq_server).add_vhost(vhost)
    _awake(rabbitmq_server).call("DELETE", f"vhosts/{vhost}")


@pytest.fixture
def s3(s3_server: SeaweedFS) -> SeaweedFS:
    """The S3 server: `url`, `access_key`, `secret_key`; buckets are the test's own affair."""
    return _awake(s3_server)


@pytest.fixture
def empty_database15(postgres15_server: PostgreSQL) -> Iterator[str]:
    """The URL of a database on PostgreSQL 15 that knows nothing of the system."""
    yield from _fresh_database(_awake(postgres15_server), "template1")


def _running(make: Callable[[], S]) -> Iterator[S]:
    try:
        server = make()
    except Missing as missing:
        not_run(str(missing))
    try:
        yield server.start()
    finally:
        server.close()


def _awake(server: S) -> S:
    """The shared server again, even if the test before left it dead."""
    if not server.alive:
        server.start()
    return server


def _migrated(server: PostgreSQL) -> str:
    server.sql("CREATE DATABASE migrated")
    with ThreadPoolExecutor(1) as aside:  # some ask for a database from within an event loop
        aside.submit(lambda: asyncio.run(_migrate(server.database("migrated")))).result()
    return "migrated"


async def _migrate(url: str) -> None:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        await migrate(pool, CORE)


def _fresh_database(server: PostgreSQL, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    server.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.database(name)
    _awake(server).sql(f"DROP DATABASE {name} WITH (FORCE)")


def not_run(reason: str) -> NoReturn:
    """Give the test up for want of a server: told again after the tests; in CI nothing may be missing."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(NOT_RUN + reason, pytrace=False)
    pytest.skip(NOT_RUN + reason)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each file has one worker, for its tests share servers; storms all have the same one, so that no two meet."""
    storms = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in storms)  # the longest begin first
    for item in items:
        item.add_marker(pytest.mark.xdist_group("storms" if item.path in storms else str(item.path)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None]:
    """Cleaning up has its own time: pytest-timeout stops its clock at a failure, and what hung then hung for ever."""
    signal.signal(signal.SIGALRM, _hangs)
    signal.setitimer(signal.ITIMER_REAL, CLEANING, CLEANING)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _hangs(*_: object) -> NoReturn:
    pytest.fail(f"cleaning up took more than {CLEANING} s")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what did not run, and why."""
    silent: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if NOT_RUN in reason:
            silent.setdefault(reason.split(NOT_RUN, 1)[1], []).append(report.nodeid)
    for reason, tests in silent.items():
        terminalreporter.section(f"{len(tests)} TESTS DID NOT RUN", sep="!", red=True, bold=True)
        terminalreporter.write_line(reason)
        for test in sorted(tests):
            terminalreporter.write_line(f"    {test}")
