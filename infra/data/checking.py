"""Compare a storage element with the catalogue. It runs beside other work; its timer notices when it has died."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from domain.data.consistency import BeginCheck, CheckStorage, EndCheck, Finding, Kind, NoteFindings
from domain.data.element import Access
from domain.data.file import ConfirmReplica, DoubtReplica, Held
from domain.data.names import check_file, file_stream
from domain.errors import Refused
from domain.messages import Command
from gateway.data.places import Listed, Storage
from infra.bus.messages import Outcome, Request, now
from infra.data.removing import Work
from infra.front import Service
from infra.runtime import Runtime
from infra.storage.elements import OpenedStorages

PART = 1000
COMPARED = """select r.file, r.state, r.since, r.sure_at, f.size from data_replicas r
    join data_files f on f.file = r.file
    where r.se = $1 and r.file = any($2::uuid[])"""
RELIED_ON = """select r.file, r.state, r.since, r.sure_at, f.size, d.path || '/' || f.name as lfn from data_replicas r
    join data_files f on f.file = r.file join data_directories d on d.directory = f.directory
    where r.se = $1 and d.vo = $2 and r.file > $3 and r.since < $4 and (d.path = $5 or starts_with(d.path, $5 || '/'))
    order by r.file limit $6"""
FIRST = UUID(int=0)


def check(runtime: Runtime) -> Service:
    """`storage.check`."""
    storages = OpenedStorages(runtime.elements, b"", "")
    running: set[asyncio.Task[None]] = set()

    async def serve(request: Request) -> Outcome:
        command = cast(CheckStorage, runtime.store.codec.command(request.topic, request.data))
        storage = storages.open(command.vo, command.se, Access.CHECK)
        work = Work(runtime, request)
        await work.decide([BeginCheck(command.vo, command.check, command.se, command.path)])
        task = asyncio.create_task(Comparison(runtime, work, command, storage).run())
        running.add(task)
        task.add_done_callback(running.discard)
        return Outcome(request.id, True)

    return serve


class Comparison:
    """One check at work."""

    def __init__(self, runtime: Runtime, work: Work, command: CheckStorage, storage: Storage) -> None:
        self._pool, self._work, self._command, self._storage = runtime.pool, work, command, storage
        self._begun = now()
        self._seen: set[int] = set()  # of streams: what is not among them, storage does not have
        self._listed = self._known = 0

    async def run(self) -> None:
        """Both ways: everything that is listed, then everything that is relied on."""
        command, problem = self._command, ""
        try:
            async for part in self._storage.listed(command.path):
                await self._compare(part)
            await self._look_for_lost()
        except Refused as refused:
            problem = refused.what
        except Exception as fault:  # whatever it is, the check has to end with it
            problem = f"{type(fault).__name__}: {fault}"[:500]
        await self._work.decide([EndCheck(command.vo, command.check, self._listed, self._known, problem)])

    async def _compare(self, part: Sequence[Listed]) -> None:
        self._listed += len(part)
        names = {file_stream(each.lfn): each for each in part}
        rows = await self._pool.fetch(COMPARED, self._command.se, list(names))
        known = {row["file"]: row for row in rows}
        self._seen |= {stream.int for stream in names}
        findings = [self._dark(each) for stream, each in names.items() if stream not in known]
        commands: list[Command] = []
        for stream, row in known.items():
            finding, settling = await self._settled(names[stream], row)
            findings += [finding] if finding else []
            commands += settling
        await self._record(findings, commands)

    def _dark(self, each: Listed) -> Finding:
        """It came when storage says that it was written."""
        return Finding(Kind.DARK.value, each.lfn, each.modified, each.modified, each.size)

    async def _settled(self, each: Listed, row: Any) -> tuple[Finding | None, list[Command]]:
        """An announced, doubted or lost replica that is there is read, and settled by what it is."""
        command, held = self._command, Held(row["state"])
        if held in (Held.INTENDED, Held.LOST, Held.SUSPECT):
            found = await self._storage.examine(each.lfn) if row["since"] < self._begun else None
            return None, [ConfirmReplica(command.vo, each.lfn, command.se, found)] if found else []
        if held is Held.ACTIVE and each.size != row["size"]:
            reason = f"{each.size} bytes instead of {row['size']}"
            finding = Finding(Kind.SIZE.value, each.lfn, row["sure_at"], each.modified, each.size)
            return finding, [DoubtReplica(command.vo, each.lfn, command.se, reason)]
        return None, []

    async def _look_for_lost(self) -> None:
        after, command = FIRST, self._command
        while True:
            rows = await self._pool.fetch(
                RELIED_ON, command.se, command.vo, after, self._begun, command.path, PART
            )  # fmt: skip
            self._known += len(rows)
            missing = [row for row in rows if row["file"].int not in self._seen]
            await self._missing(missing)
            if len(rows) < PART:
                return
            after = rows[-1]["file"]

    async def _missing(self, rows: Sequence[Any]) -> None:
        """A listing may be behind: what it lacks is asked for by its name before it counts as lost."""
        findings: list[Finding] = []
        commands: list[Command] = []
        vo, se = self._command.vo, self._command.se
        for row in rows:
            lfn, held = check_file(vo, row["lfn"]), Held(row["state"])
            if held not in (Held.ACTIVE, Held.SUSPECT, Held.INTENDED) or await self._storage.examine(lfn):
                continue
            kind = Kind.UNCONFIRMED if held is Held.INTENDED else Kind.LOST
            since: datetime = row["sure_at"] or row["since"]
            findings.append(Finding(kind.value, lfn, since, self._begun, row["size"]))
            if kind is Kind.LOST:
                commands.append(DoubtReplica(vo, lfn, se, "the storage element does not have it", lost=True))
        await self._record(findings, commands)

    async def _record(self, findings: Sequence[Finding], commands: Sequence[Command]) -> None:
        """The date of a divergence is noted after its state: the view keeps both."""
        if commands:
            await self._work.decide(commands)
        if findings:
            await self._work.decide([NoteFindings(self._command.vo, self._command.check, tuple(findings))])
