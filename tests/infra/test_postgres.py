"""The laptop's PostgreSQL keeps its data through stops, kills, crashes and second owners."""

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from kept import gone, remember, remembered, setting, socket_directory

from domain.errors import Code, Refused
from infra import postgres_host
from infra.postgres import Embedded
from infra.postgres_cluster import send, server_processes
from infra.postgres_host import Host, tag, wheel_programs


@pytest.fixture(params=[18, 15])
def programs(request: pytest.FixtureRequest) -> Path | None:
    """Both releases that it must work with: the wheel's and Debian's."""
    return request.getfixturevalue("programs15") if request.param == 15 else None


async def test_data_are_there_after_a_stop_and_a_start(home: Path, programs: Path | None) -> None:
    async with Embedded(home, programs) as url:
        await remember(url, 7)
    assert not server_processes(tag(home).encode())
    async with Embedded(home, programs) as url:
        assert await remembered(url) == 7


async def test_our_role_is_no_superuser_and_may_not_sit_in_a_transaction(home: Path) -> None:
    async with Embedded(home) as url:
        assert await setting(url, "is_superuser") == "off"
        assert await setting(url, "idle_in_transaction_session_timeout") == "1min"
        assert await setting(url, "jit") == "off"
        assert await setting(url, "shared_buffers") == "128MB"


async def test_nothing_listens_on_tcp_unless_asked_for(home: Path) -> None:
    async with Embedded(home) as url:
        assert await setting(url, "listen_addresses") == ""


async def test_tcp_asks_for_the_password_that_only_its_owner_can_read(home: Path) -> None:
    database = Embedded(home, tcp=True)
    async with database as url:
        await remember(database.tcp_url, 5)
        assert await remembered(url) == 5
        port = urlsplit(database.tcp_url).port
        assert port and port < 32768
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://spinor:wrong@127.0.0.1:{port}/spinor")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://postgres:wrong@127.0.0.1:{port}/postgres")
    assert (home / "password").stat().st_mode & 0o777 == 0o600


async def test_others_cannot_reach_the_socket(home: Path) -> None:
    async with Embedded(home) as url:
        assert socket_directory(url).stat().st_mode & 0o777 == 0o700


async def test_a_path_too_long_for_a_socket_gets_a_short_private_one(home: Path) -> None:
    deep = home / ("a-directory-with-a-long-name" * 4) / "data"
    async with Embedded(deep) as url:
        await remember(url, 3)
        short = socket_directory(url)
        assert len(os.fsencode(short)) < 80
        assert short.stat().st_mode & 0o777 == 0o700
    assert not short.exists()


async def test_a_killed_server_is_started_again_with_its_data(home: Path) -> None:
    database = Embedded(home)
    async with database as url:
        await remember(url, 11)
        killed = database.pid
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(60):
            while database.pid == killed or not (home / "cluster/postmaster.pid").exists():
                await asyncio.sleep(0.05)
            while True:
                try:
                    assert await remembered(url) == 11
                    break
                except (OSError, asyncpg.CannotConnectNowError):
                    await asyncio.sleep(0.05)


async def test_a_server_whose_owner_was_killed_stops_in_the_orderly_way(
    home: Path, owner: tuple[asyncio.subprocess.Process, str]
) -> None:
    process, _ = owner
    process.kill()
    await process.wait()
    await gone(home)
    assert "database system is shut down" in (home / "log").read_text()


async def test_a_server_left_running_is_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    monkeypatch.setattr(postgres_host.shutil, "which", lambda name: None if name == "setpriv" else found(name))
    first = Embedded(home)
    await remember(await first.start(), 13)
    left = first.pid
    assert first._watch
    first._watch.cancel()
    os.close(first._lock)  # as the kernel does when the owner dies
    async with Embedded(home) as url:
        assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE
        assert await remembered(url) == 13
    assert first._process
    first._process.wait()


async def test_a_killed_server_and_owner_leave_nothing_in_the_way(
    home: Path, owner: tuple[asyncio.subprocess.Process, str]
) -> None:
    process, url = owner
    await remember(url, 17)
    for pid in [process.pid, *server_processes(tag(home).encode())]:
        send(pid, signal.SIGKILL)
    await process.wait()
    assert (home / "cluster/postmaster.pid").exists()
    async with Embedded(home) as url:
        assert await remembered(url) == 17


async def test_a_stale_pid_file_that_names_a_stranger_is_no_obstacle(home: Path) -> None:
    async with Embedded(home) as url:
        await remember(url, 19)
    stranger = subprocess.Popen(["sleep", "600"])
    (home / "cluster/postmaster.pid").write_text(f"{stranger.pid}\n{home}/cluster\n0\n5432\n{home}\n\n  1 1\nready\n")
    try:
        async with Embedded(home) as url:
            assert await remembered(url) == 19
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_second_instance_learns_who_has_the_directory(
    home: Path, owner: tuple[asyncio.subprocess.Process, str]
) -> None:
    process, _ = owner
    with pytest.raises(Refused) as refusal:
        await Embedded(home).start()
    assert refusal.value.code is Code.DATABASE_HELD
    assert refusal.value.parameters["pid"] == str(process.pid)
    assert str(home) in str(refusal.value)


async def test_a_server_started_by_hand_is_not_touched(home: Path) -> None:
    async with Embedded(home):
        pass
    command = [str(wheel_programs() / "postgres"), "-D", str(home / "cluster"), "-c", "listen_addresses=",
               "-k", str(home)]  # fmt: skip
    with (home / "log").open("ab") as log:
        by_hand = Host.look().account().start(command, log)
    try:
        with pytest.raises(Refused) as refusal:
            while not (home / "cluster/postmaster.pid").exists():
                await asyncio.sleep(0.02)
            await Embedded(home).start()
        assert (refusal.value.code, refusal.value.parameters["pid"]) == (Code.DATABASE_HELD, by_hand.pid)
        assert by_hand.poll() is None
    finally:
        by_hand.send_signal(signal.SIGINT)
        by_hand.wait()


async def test_data_of_another_major_version_are_refused_with_a_next_step(home: Path, programs15: Path) -> None:
    async with Embedded(home, programs15) as url:
        await remember(url, 23)
    with pytest.raises(Refused) as refusal:
        await Embedded(home).start()
    assert refusal.value.code is Code.DATABASE_VERSION
    assert (refusal.value.parameters["found"], refusal.value.parameters["needed"]) == (15, 18)
    assert "pg_dump" in refusal.value.next
    async with Embedded(home, programs15) as url:
        assert await remembered(url) == 23


async def test_a_refused_start_lets_the_directory_go(home: Path) -> None:
    with pytest.raises(Refused) as refusal:
        await Embedded(home, settings={"shared_buffers": "nonsense"}).start()
    assert refusal.value.code is Code.DATABASE_START
    assert "shared_buffers" in refusal.value.parameters["problem"]
    async with Embedded(home) as url:
        await remember(url, 29)


async def test_an_interrupted_creation_is_begun_again(home: Path) -> None:
    (home / "cluster.new/base").mkdir(parents=True)
    (home / "cluster.new/PG_VERSION").write_text("18\n")
    async with Embedded(home) as url:
        await remember(url, 31)
