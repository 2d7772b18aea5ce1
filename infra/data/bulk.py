"""Bulks of files: looked at together, decided file by file, recorded in one transaction, each item with its result."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from domain.data.access import COMMON_MODE, ENTER, USUAL_MODE, WRITE, Asker, Guarded, check
from domain.data.bulk import MOST, BulkCommand
from domain.data.directory import MakeDirectory
from domain.data.names import check_name, directory_stream, lineage
from domain.errors import Code, Refused
from domain.messages import Command, Origin
from gateway.errors import explained
from infra.bus.messages import Outcome, Request, now
from infra.decider import Ask, Verdict
from infra.front import Service
from infra.runtime import Runtime
from infra.store import AWAY, Connection

LOG = "files"
C = TypeVar("C", bound=BulkCommand)
KNOWN = "select path, owner, owner_group, mode from data_directories where directory = any($1::uuid[])"


class Bulk(NamedTuple):
    """A bulk under way: who asks, in which transaction."""

    connection: Connection
    who: Asker
    origin: Origin
    vo: str


Results = list[Refused | None]
Work = Callable[[Bulk, C], Awaitable[Results]]


def service(runtime: Runtime, kind: type[C], work: Callable[[Runtime], Work[C]]) -> Service:
    """A service that does such work; its outcome's `results` are None or an error for each item, in order."""
    doing = work(runtime)

    async def serve(request: Request) -> Outcome:
        command = runtime.store.codec.command(request.topic, request.data)
        assert isinstance(command, kind)
        if request.deadline and request.deadline < now():
            raise Refused(Code.DEADLINE, seconds=0)
        if command.vo != request.vo:
            raise Refused(Code.FORBIDDEN, right="a token of that VO")
        try:
            results = await _retried(runtime, request, command, doing)
        except AWAY as fault:
            raise Refused(Code.DATABASE_AWAY) from fault
        runtime.wakes.wake(LOG)
        return Outcome(request.id, True, parameters={"results": [r and explained(r) for r in results]})

    return serve


async def _retried(runtime: Runtime, request: Request, command: C, work: Work[C]) -> Results:
    who = Asker(command.owner, command.group, frozenset(request.rights))

    async def bulk(connection: Connection) -> Results:
        origin = Origin(request.actor, request.vo, now(), request.id, request.correlation or request.id, who.rights,
                        request.token)  # fmt: skip
        return await work(Bulk(connection, who, origin, request.vo), command)

    return await runtime.store.retried(bulk)


def few(items: Sequence[Any]) -> None:
    """Refuse a bulk that is too large.

    Raises:
        Refused: TOO_MANY.
    """
    if len(items) > MOST:
        raise Refused(Code.TOO_MANY, count=len(items), things="items", limit=MOST)


def named(vo: str, names: Iterable[str]) -> list[str | Refused]:
    """Each name, or why it is none."""
    return [_named(vo, name) for name in names]


def _named(vo: str, name: str) -> str | Refused:
    try:
        return check_name(vo, name)
    except Refused as refused:
        return refused


async def decided(runtime: Runtime, bulk: Bulk, commands: Sequence[Command | Refused]) -> list[Verdict | Refused]:
    """What became of each command; those refused already stay refused."""
    asks = [Ask(command, bulk.origin) for command in commands if not isinstance(command, Refused)]
    verdicts = iter(await runtime.decider.decide(bulk.connection, asks) if asks else ())
    return [command if isinstance(command, Refused) else next(verdicts) for command in commands]


def refusals(verdicts: Iterable[Verdict | Refused]) -> Results:
    """The refusals among them, at their places."""
    return [verdict if isinstance(verdict, Refused) else verdict.refusal for verdict in verdicts]


class Directories:
    """The directories that a bulk touches, as they are and as it makes them."""

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        self._known: dict[str, Guarded] = {}
        self._verdicts: dict[str, Refused | None] = {}
        self.made: list[Command] = []

    async def look(self, paths: Iterable[str]) -> None:
        """Read these, and all they are in, once."""
        wanted = {path for one in set(paths) for path in lineage(one)}
        rows = await self._bulk.connection.fetch(KNOWN, [directory_stream(path) for path in wanted])
        self._known |= {row["path"]: Guarded(*row) for row in rows}

    def writable(self, path: str) -> Refused | None:
        """Why the asker may not write there; directories that are missing are made on the way."""
        if path not in self._verdicts:
            self._verdicts[path] = None
            try:
                self._enter(path)
            except Refused as refused:
                self._verdicts[path] = refused
        return self._verdicts[path]

    def at(self, path: str) -> Guarded | None:
        """A directory, if it is there."""
        return self._known.get(path)

    def make(self, path: str, mode: int = USUAL_MODE) -> None:
        """Make a directory, and what it is in.

        Raises:
            Refused: DATA_FORBIDDEN.
        """
        above = Guarded("", "", "", COMMON_MODE)
        for step in lineage(path):
            if step not in self._known:
                check(self._bulk.who, above, WRITE)
                self._new(step, mode if step == path else USUAL_MODE)
            above = self._known[step]
            check(self._bulk.who, above, ENTER)

    def _enter(self, path: str) -> None:
        self.make(path)
        check(self._bulk.who, self._known[path], WRITE)

    def _new(self, path: str, mode: int) -> None:
        who, vo = self._bulk.who, self._bulk.vo
        common = path == f"/{vo}"
        owner, group = ("", "") if common else (who.subject, who.group)
        self._known[path] = Guarded(path, owner, group, COMMON_MODE if common else mode)
        self.made.append(MakeDirectory(vo, path, owner, group, self._known[path].mode))
