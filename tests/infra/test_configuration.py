"""The configuration in force: every process has a change within seconds; a restored database is noticed; init."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from domain.configuration import STREAM, ChangeConfiguration, Installation
from domain.messages import Origin
from infra.app import CORE
from infra.bootstrap import Wanted, decided, initialise
from infra.bus.messages import now
from infra.doctor import Verdict, _configuration
from infra.runtime import Runtime, opened
from infra.settings import Settings
from infra.status import collect
from infra.store import record


@pytest.fixture
def given(database: str, tmp_path: Path) -> Settings:
    return Settings(database=database, data=tmp_path)


async def change(runtime: Runtime, **put: Any) -> int:
    places = {place.replace("_", "/"): value for place, value in put.items()}
    return await decided(runtime, ChangeConfiguration(runtime.configuration.revision, places))


VO = {"default_group": "users", "groups": {"users": {"properties": ["NormalUser", "CSAdministrator"]}}}


async def test_a_change_is_in_force_in_another_process(given: Settings) -> None:
    async with opened(CORE, given) as one, opened(CORE, given) as other:
        assert other.configuration.vo("demo") and other.configuration.revision == 0
        following = [asyncio.create_task(work) for work in (other.configuration.run(), other.wakes.listen())]
        changed = other.configuration.changed
        try:
            await change(one, _registry_lhcb=VO)
            await changed.wait()
            assert other.configuration.revision == 1 and other.configuration.current.vos == ["lhcb"]
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


async def test_without_a_wake_it_is_looked_for(given: Settings) -> None:
    async with opened(CORE, given) as one, opened(CORE, given) as other:
        following = asyncio.create_task(other.configuration.run())  # nobody listens to notifications
        changed = other.configuration.changed
        try:
            await change(one, _registry_lhcb=VO)
            await changed.wait()
            assert other.configuration.revision == 1
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def test_a_process_that_starts_has_the_newest(given: Settings) -> None:
    async with opened(CORE, given) as one:
        await change(one, _registry_lhcb=VO)
        await one.configuration.load()
        await change(one, _systems_name="Grid")
    async with opened(CORE, given) as later:
        assert later.configuration.revision == 2 and later.configuration.current.systems.name == "Grid"
        assert later.configuration.document_at(1).keys() == {"registry"}


async def test_a_database_in_an_earlier_state_is_read_anew(given: Settings) -> None:
    async with opened(CORE, given) as runtime:
        await change(runtime, _registry_lhcb=VO)
        await runtime.configuration.load()
        installation = runtime.configuration
        installation._installation = msgspec.structs.replace(installation._installation, head=uuid4())
        await installation.load()
        assert (installation.revision, installation.current.vos) == (1, ["lhcb"])


async def test_two_who_look_at_once_never_see_an_installation_without_configuration(given: Settings) -> None:
    async with opened(CORE, given) as runtime:
        await change(runtime, _registry_lhcb=VO)
        await runtime.configuration.load()
        for number in range(20):
            await change(runtime, _systems_name=f"Grid {number}")
            looks = [asyncio.create_task(runtime.configuration.load()) for _ in range(4)]
            while not all(look.done() for look in looks):
                assert runtime.configuration.current.vos == ["lhcb"]
                await asyncio.sleep(0)
            assert runtime.configuration.current.systems.name == f"Grid {number}"
            assert len(runtime.configuration.events) == number + 2


async def test_a_section_of_a_newer_release_disables_its_vo_only(given: Settings) -> None:
    async with opened(CORE, given) as runtime:
        future = Installation.Changed(1, {"/registry": {"lhcb": VO, "cta": {**VO, "wormholes": 3}}})
        async with runtime.store.transaction() as connection:
            event = record(future, STREAM, 1, Origin("user:x", "lhcb", now()))
            await runtime.store.append(connection, "system", [event])
        await runtime.configuration.load()
        assert runtime.configuration.current.vos == ["lhcb"]
        assert [*runtime.configuration.current.broken] == ["cta"]
        seen = await _configuration(CORE, given)
        assert seen.verdict is Verdict.BAD and "/registry/cta/wormholes" in seen.what
        told = (await collect(runtime))["configuration"]
        assert told == {"revision": 1, "vos": 1, "broken": 1}


async def test_init_begins_once_and_adds_another_vo(given: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    first = Wanted("lhcb", "https://auth.cern.ch", "spinor", "b824", "ann")
    for made in ("made", "there already"):
        await initialise(CORE, given, first, True)
        told = json.loads(capsys.readouterr().out)
        assert (told["configuration"], told["revision"]) == (made, 1)
    await initialise(CORE, given, Wanted("cta", "https://auth.cta.org", "spinor"), False)
    assert "cta: made, revision 2" in capsys.readouterr().out
    async with opened(CORE, given) as runtime:
        found = runtime.configuration.current
        assert found.vos == ["cta", "lhcb"] and found.systems.administrators == ("lhcb",) and not found.problems
        assert "CSAdministrator" in found.registry["lhcb"].properties("admins")
        assert (given.data / "secret").stat().st_mode & 0o777 == 0o600
