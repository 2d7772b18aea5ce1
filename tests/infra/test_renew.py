"""A new release brings views that are new or different: they are full before anybody reads them."""

from pathlib import Path

from installation import request, submit
from sqlalchemy import Column, Index, Integer, MetaData, Table

from domain.job import Job
from domain.messages import Recorded
from infra.app import CORE
from infra.rebuild import verify
from infra.renew import renew
from infra.runtime import opened
from infra.serve import running
from infra.settings import Settings, settings
from infra.system import System
from infra.views import definition
from projections.jobs import of_stream
from projections.projection import Projection, Values

PARTS = ("dispatch",)


def sizes(*more: Column[int] | Index) -> Projection:
    """An inline view that the first release did not have."""
    table = Table("sizes", MetaData(), Column("job", Integer, primary_key=True), Column("priority", Integer), *more)
    view = Projection(table, log="jobs", key=of_stream, inline=True)

    @view.creates
    def submitted(event: Recorded[Job.Submitted]) -> Values:
        return {"priority": event.event.priority} | {
            column.name: event.event.job for column in more if isinstance(column, Column)
        }

    return view


async def some_jobs(chosen: Settings) -> None:
    async with running(CORE, chosen, PARTS) as work:
        await work.runtime.bus.request([request(submit(job)) for job in range(1, 21)], 30)


async def test_a_new_view_of_an_old_log_is_full_at_once(database: str, tmp_path: Path) -> None:
    chosen = settings(database=database, data=tmp_path)
    await some_jobs(chosen)
    later = CORE | System(projections=(sizes(),))
    async with running(later, chosen, PARTS) as work:
        assert await work.runtime.pool.fetchval("select count(*) from sizes") == 20
        await work.runtime.bus.request([request(submit(21))], 30)
        assert await work.runtime.pool.fetchval("select count(*) from sizes") == 21
        assert await verify(work.runtime, "sizes") == []


async def test_a_view_defined_otherwise_is_filled_anew_and_then_left_alone(database: str, tmp_path: Path) -> None:
    chosen = settings(database=database, data=tmp_path)
    await some_jobs(chosen)
    async with running(CORE | System(projections=(sizes(),)), chosen, PARTS):
        pass
    wider = CORE | System(projections=(sizes(Column("number", Integer), Index("sizes_by_number", "number")),))
    async with opened(wider, chosen) as runtime:
        assert await renew(runtime) == ["sizes"]
        assert await runtime.pool.fetchval("select sum(number) from sizes") == 210
        assert await renew(runtime) == []


async def test_a_database_of_the_same_release_is_left_alone(database: str, tmp_path: Path) -> None:
    chosen = settings(database=database, data=tmp_path)
    await some_jobs(chosen)
    async with opened(CORE, chosen) as runtime:
        assert await renew(runtime) == []


def test_every_process_defines_a_view_in_the_same_words() -> None:
    table = Table(
        "t", MetaData(), Column("a", Integer, primary_key=True), *(Column(f"c{n}", Integer) for n in range(9))
    )
    for n in range(9):
        Index(f"by_c{n}", table.c[f"c{n}"])
    words = [line.split()[2] for line in definition(table).split(";\n")[1:]]
    assert words == [f"by_c{n}" for n in range(9)]
