"""Removals at work: files go, come back and are purged in parts, each a transaction; whatever dies, a timer goes on."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import msgspec

from domain.data.element import Access
from domain.data.file import ClearReplica, FailToClear, File, PurgeReplica, RemoveFile, RestoreFile
from domain.data.names import file_stream, parent
from domain.data.removal import BeginRemoval, EndRemoval, Removal, Status
from domain.errors import Code, Refused
from domain.messages import Command, Origin
from infra.bus.messages import Outcome, Request, now
from infra.data.bulk import LOG, Bulk, Directories, decided, refusals
from infra.decider import Ask, Verdict
from infra.front import Service
from infra.runtime import Runtime
from infra.storage.elements import OpenedStorages
from infra.store import AWAY, Connection

PART = 1000
REPLICAS = """select r.file, r.se from data_replicas r join data_files f on f.file = r.file
    where r.file = any($1::uuid[]) and f.status = 'Removed'"""
Make = Callable[[str], Command]


def carry_out(runtime: Runtime) -> Service:
    """`removal.carry-out`."""
    return _service(runtime, lambda work: work.carry_out())


def undo(runtime: Runtime) -> Service:
    """`removal.undo`."""
    return _service(runtime, lambda work: work.undo())


def purge(runtime: Runtime) -> Service:
    """`removal.purge`."""
    return _service(runtime, lambda work: work.purge())


def clear(runtime: Runtime) -> Service:
    """`storage.clear`: the bytes of one dropped replica."""
    storages = OpenedStorages(runtime.elements, b"", "")

    async def serve(request: Request) -> Outcome:
        command: Any = runtime.store.codec.command(request.topic, request.data)
        then: ClearReplica | FailToClear = ClearReplica(command.vo, command.lfn, command.se)
        try:
            await storages.open(command.vo, command.se, Access.REMOVE).remove([command.lfn])
        except Refused as refused:
            then = FailToClear(command.vo, command.lfn, command.se, refused.what)
        await Work(runtime, request).decide([then])
        return Outcome(request.id, True)

    return serve


def _service(runtime: Runtime, do: Callable[["Work"], Any]) -> Service:
    async def serve(request: Request) -> Outcome:
        try:
            return Outcome(request.id, True, parameters=await do(Work(runtime, request)))
        except AWAY as fault:
            raise Refused(Code.DATABASE_AWAY) from fault

    return serve


class Work:
    """One removal under way, because of one request: of a user, or of a timer that goes on with it."""

    def __init__(self, runtime: Runtime, request: Request) -> None:
        self._runtime, self._request = runtime, request
        self._command = cast(Any, runtime.store.codec.command(request.topic, request.data))
        if self._command.vo != request.vo:
            raise Refused(Code.FORBIDDEN, right="a token of that VO")

    async def carry_out(self) -> dict[str, Any]:
        """Remove; what is refused stays, and is told."""
        removal, lfns = await self._begun(undo=False)
        done, refused = 0, []
        for part in _parts(lfns):
            results = await self._removed(removal, part)
            done += results.count(None)
            refused += [{"lfn": lfn, "code": r.code.slug} for lfn, r in zip(part, results, strict=True) if r]
        await self.decide([EndRemoval(self._command.vo, self._command.removal, done, len(refused))])
        return {"files": done, "refused": refused[:PART]}

    async def undo(self) -> dict[str, Any]:
        """Bring back what storage still has; what it has lost is told by name."""
        _, lfns = await self._begun(undo=True)
        vo, id_ = self._command.vo, self._command.removal
        done, lost = 0, []
        for part in _parts(lfns):
            results = await self.decide([RestoreFile(vo, lfn, id_) for lfn in part])
            done += sum(1 for each in results if each.refusal is None)
            lost += [lfn for lfn, each in zip(part, results, strict=True) if _is_lost(each)]
        await self.decide([EndRemoval(vo, id_, done, 0, tuple(lost[:PART]), len(lost))])
        return {"files": done, "lost_files": len(lost), "lost": lost[:PART]}

    async def purge(self) -> dict[str, Any]:
        """Let go of the bytes; each replica is an intent first, and cleared by a timer of its own."""
        removal = await self._state()
        if removal.status is not Status.REMOVED:
            return {"replicas": 0}
        vo, id_, count = self._command.vo, self._command.removal, 0
        for part in _parts(await self._lfns(removal)):
            names = {file_stream(lfn): lfn for lfn in part}
            rows = await self._runtime.pool.fetch(REPLICAS, list(names))
            await self.decide([PurgeReplica(vo, names[row["file"]], row["se"], id_) for row in rows])
            count += len(rows)
        await self.decide([EndRemoval(vo, id_, count, purged=True)])
        return {"replicas": count}

    async def decide(self, commands: Sequence[Command]) -> list[Verdict]:
        """Have commands decided in a transaction of their own; conflicts are tried again."""

        async def all_of_them(connection: Connection) -> list[Verdict]:
            asks = [Ask(command, self._origin()) for command in commands]
            return await self._runtime.decider.decide(connection, asks)

        verdicts = await self._runtime.store.retried(all_of_them)
        self._runtime.wakes.wake(LOG)
        return verdicts

    async def _begun(self, undo: bool) -> tuple[Removal, list[str]]:
        command = self._command
        begin = BeginRemoval(command.vo, command.removal, command.owner, command.manages, undo)
        (verdict,) = await self.decide([begin])
        if verdict.refusal:
            raise verdict.refusal
        removal = await self._state()
        return removal, await self._lfns(removal)

    async def _removed(self, removal: Removal, lfns: Sequence[str]) -> list[Refused | None]:
        vo = self._command.vo

        async def part(connection: Connection) -> list[Refused | None]:
            bulk = Bulk(connection, removal.asker, self._origin(), vo)
            directories = Directories(bulk)
            await directories.look(parent(lfn) for lfn in lfns)
            asked = [_removable(directories, lfn) or RemoveFile(vo, lfn, self._command.removal) for lfn in lfns]
            return refusals(await decided(self._runtime, bulk, asked))

        results = await self._runtime.store.retried(part)
        self._runtime.wakes.wake(LOG)
        return results

    async def _state(self) -> Removal:
        return await self._runtime.store.state(Removal, self._command.stream)

    async def _lfns(self, removal: Removal) -> list[str]:
        return msgspec.json.decode(await self._runtime.store.body(removal.lfns), type=list[str])

    def _origin(self) -> Origin:
        request = self._request
        return Origin(request.actor, request.vo, now(), request.cause or request.id, request.correlation or request.id,
                      frozenset(request.rights), request.token)  # fmt: skip


def _parts(lfns: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(lfns), PART):
        yield lfns[start : start + PART]


def _removable(directories: Directories, lfn: str) -> Refused | None:
    if directories.at(parent(lfn)) is None:
        return Refused(Code.FILE_UNKNOWN, lfn=lfn)
    return directories.writable(parent(lfn))


def _is_lost(verdict: Verdict) -> bool:
    """A file that cannot come back, or one that came back without some of its replicas."""
    if verdict.refusal:
        return verdict.refusal.code is Code.FILE_LOST
    return any(isinstance(each.event, File.Restored) and each.event.lost for each in verdict.events)
