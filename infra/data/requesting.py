"""Requests at work: a round tries what is left of an operation, file by file; what came of it is an event."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from domain.data.element import Access, preferred
from domain.data.file import (
    AddReplica,
    AnnounceFile,
    ConfirmReplica,
    Content,
    DoubtReplica,
    DropReplica,
    RemoveFile,
    TrustReplica,
)
from domain.data.names import file_stream
from domain.data.request import BeginRound, CarryOutRequest, NoteRequest, Operation, Status
from domain.data.request import Request as Wanted
from domain.errors import Code, Refused
from domain.messages import Command, Origin
from infra.bus.messages import Outcome, Request, now
from infra.data.bulk import LOG
from infra.decider import Ask, Verdict
from infra.front import Service
from infra.runtime import Runtime
from infra.storage.elements import OpenedStorages
from infra.store import AWAY, Connection

ROUND = 20  # files of one round
AT_ONCE = 2  # files that are copied at the same time
AGAIN = frozenset({
    Code.SE_REFUSES, Code.STORAGE_AWAY, Code.STORAGE_REFUSED, Code.NOT_STORED, Code.BUSY, Code.DATABASE_AWAY,
    Code.REPLICA_STATE,
})  # fmt: skip
FILE = "select size, owner, owner_group, adler32, md5, sha256, guid, status from data_files where file = $1"
REPLICAS = "select se from data_replicas where file = $1 and state = 'Active'"
log_ = structlog.get_logger("spinor.requests")


def carry_out(runtime: Runtime) -> Service:
    """`request.carry-out`: begins a round and answers; copying takes longer than a timer waits."""
    storages = OpenedStorages(runtime.elements, b"", "")
    under_way: dict[UUID, asyncio.Task[None]] = {}

    async def serve(request: Request) -> Outcome:
        command: Any = runtime.store.codec.command(request.topic, request.data)
        assert isinstance(command, CarryOutRequest)
        if command.vo != request.vo:
            raise Refused(Code.FORBIDDEN, right="a token of that VO")
        work = Round(runtime, storages, command, request)
        if command.stream not in under_way:
            await work.decide(BeginRound(command.vo, command.request))
            task = under_way[command.stream] = asyncio.create_task(work.run())
            task.add_done_callback(lambda _: under_way.pop(command.stream, None))
        return Outcome(request.id, True)

    return serve


class Round:
    """One round of one request."""

    def __init__(self, runtime: Runtime, storages: OpenedStorages, command: CarryOutRequest, request: Request) -> None:
        self._runtime, self._storages, self._command = runtime, storages, command
        self._vo = command.vo
        self._request = request

    async def run(self) -> None:
        """Try, and note what came of it; a timer tries again whatever happens here."""
        try:
            wanted = await self._state()
            if wanted.status is Status.WAITING:
                await self.decide(await self._tried(wanted))
        except (*AWAY, Refused) as fault:
            log_.warning("request not carried out", request=str(self._command.request), reason=str(fault))

    async def _tried(self, wanted: Wanted) -> NoteRequest:
        operation, room = wanted.operations[wanted.current], asyncio.Semaphore(AT_ONCE)
        done, failed, waiting = [], dict[str, str](), dict[str, str]()

        async def one(lfn: str) -> None:
            async with room:
                try:
                    await self._do(operation, lfn)
                    done.append(lfn)
                except Refused as refused:
                    (waiting if refused.code in AGAIN else failed)[lfn] = refused.what[:512]
                except OSError as fault:
                    waiting[lfn] = (fault.strerror or type(fault).__name__)[:512]

        # those that waited last time come last: one bad file does not keep the others
        lfns = sorted(wanted.left, key=lambda lfn: (lfn in wanted.waiting, lfn))[:ROUND]
        await asyncio.gather(*(one(lfn) for lfn in lfns))
        return NoteRequest(self._vo, self._command.request, wanted.current, tuple(done), failed, waiting)

    async def _do(self, operation: Operation, lfn: str) -> None:
        """One operation on one file; raises Refused."""
        vo, se = self._vo, operation.se
        simple: dict[str, Callable[[], Command]] = {
            "drop": lambda: DropReplica(vo, lfn, se),
            "doubt": lambda: DoubtReplica(vo, lfn, se, "a request says so"),
            "trust": lambda: TrustReplica(vo, lfn, se),
            "remove": lambda: RemoveFile(vo, lfn),
        }
        longer: dict[str, Callable[[str, str], Awaitable[None]]] = {
            "replicate": self._replicate, "register": self._register,
        }  # fmt: skip
        if operation.verb in simple:
            await self.decide(simple[operation.verb]())
        else:
            await longer[operation.verb](lfn, se)

    async def _replicate(self, lfn: str, se: str) -> None:
        """From a good replica to the storage element: intent, bytes, receipt."""
        target = self._storages.open(self._vo, se, Access.WRITE)
        row = await self._file(lfn)
        there = frozenset(r["se"] for r in await self._runtime.pool.fetch(REPLICAS, file_stream(lfn)))
        if se in there:
            return
        content = _content(row)
        await self.decide(AnnounceFile(self._vo, lfn, content, row["owner"], row["owner_group"], se))
        sources = preferred(self._runtime.elements(self._vo), self._vo, Access.READ, there)
        if not sources:
            raise Refused(Code.SE_REFUSES, se=", ".join(sorted(there)) or "none", status="closed", access="read")
        source = self._storages.open(self._vo, sources[0].name, Access.READ)
        with tempfile.TemporaryDirectory(dir=self._runtime.settings.data) as folder:
            path = Path(folder, "copy")
            await source.fetch(lfn, path)
            await target.store(lfn, path)
        found = await target.examine(lfn)
        await self.decide(ConfirmReplica(self._vo, lfn, se, found))
        if found is None or not content.agrees(found):
            problem = "there is no such file" if found is None else "its size or checksum is another one"
            raise Refused(Code.NOT_STORED, lfn=lfn, se=se, problem=problem)

    async def _register(self, lfn: str, se: str) -> None:
        """A replica that lies there already, if it is right."""
        row = await self._file(lfn)
        found = await self._storages.open(self._vo, se, Access.CHECK).examine(lfn)
        if found is None or not _content(row).agrees(found):
            problem = "there is no such file" if found is None else "its size or checksum is another one"
            raise Refused(Code.REPLICA_UNKNOWN, lfn=lfn, se=f"{se} ({problem})")
        await self.decide(AddReplica(self._vo, lfn, se))

    async def _file(self, lfn: str) -> Any:
        row = await self._runtime.pool.fetchrow(FILE, file_stream(lfn))
        if row is None or row["status"] != "Active":
            raise Refused(Code.FILE_UNKNOWN, lfn=lfn)
        return row

    async def decide(self, command: Command) -> None:
        """Have a command decided in a transaction of its own.

        Raises:
            Refused: a rule says no; BUSY.
        """
        request = self._request

        async def one(connection: Connection) -> Verdict:
            origin = Origin(request.actor, self._vo, now(), request.cause or request.id,
                            request.correlation or request.id)  # fmt: skip
            return (await self._runtime.decider.decide(connection, [Ask(command, origin)]))[0]

        verdict = await self._runtime.store.retried(one)
        self._runtime.wakes.wake(LOG)
        if verdict.refusal:
            raise verdict.refusal

    async def _state(self) -> Wanted:
        return await self._runtime.store.state(Wanted, self._command.stream)


def _content(row: Any) -> Content:
    names = ("adler32", "md5", "sha256", "guid")
    return Content(row["size"], *(row[name] or "" for name in names))
