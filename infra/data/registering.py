"""Register and announce files: names, rights, storage elements and quotas are looked at once for the whole bulk."""

from collections.abc import Callable, Sequence

from domain.data.bulk import AnnounceFiles, ChangeReplicas, ConfirmFiles, MakeDirectories, NewFile, RegisterFiles
from domain.data.element import Access, Elements, usable
from domain.data.file import (
    AddReplica,
    AnnounceFile,
    ConfirmReplica,
    DoubtReplica,
    DropReplica,
    File,
    RegisterFile,
    TrustReplica,
)
from domain.data.names import check_file, file_stream, parent
from domain.data.quota import Allowance, Ledger
from domain.errors import Code, Refused
from domain.job import HELD_BY_PILOT
from domain.messages import Command
from infra.data.bulk import Bulk, Directories, Results, Work, decided, few, named, refusals, service
from infra.front import Service
from infra.runtime import Runtime

LIMITS = """select scope, name, most_bytes, most_files from data_quotas where vo = $1 and (most_bytes is not null
    or most_files is not null) and (scope, name) in (('vo', $1), ('group', $2), ('owner', $3)) for update"""
USED = """select coalesce(sum(bytes), 0)::bigint, coalesce(sum(files), 0)::bigint from data_usage where vo = $1
    and se = '' and ($2 = '' or owner_group = $2) and ($3 = '' or owner = $3)"""
KNOWN = "select file from data_files where file = any($1::uuid[]) and status <> 'Removed'"
CURRENT = """select job from jobs where vo = $1 and job = $2 and attempt = $3 and status = any($4::text[])
    for share"""
Make = Callable[[Bulk, NewFile], Command]


def register(runtime: Runtime) -> Service:
    """`files.register`."""
    return service(runtime, RegisterFiles, lambda r: _new(r, _registered, Access.CHECK))


def announce(runtime: Runtime) -> Service:
    """`files.announce`."""
    return service(runtime, AnnounceFiles, lambda r: _new(r, _announced, Access.WRITE))


def make_directories(runtime: Runtime) -> Service:
    """`files.make-directories`."""
    return service(runtime, MakeDirectories, _make_directories)


def confirm(runtime: Runtime) -> Service:
    """`files.confirm`."""
    return service(runtime, ConfirmFiles, _confirm)


def change_replicas(runtime: Runtime) -> Service:
    """`files.change-replicas`."""
    return service(runtime, ChangeReplicas, _change)


def _registered(bulk: Bulk, file: NewFile) -> Command:
    return RegisterFile(bulk.vo, file.lfn, file.content, bulk.who.subject, bulk.who.group, file.ses, file.ancestors)


def _announced(bulk: Bulk, file: NewFile) -> Command:
    if len(file.ses) != 1:
        raise Refused(Code.MALFORMED, problem="a file is written to one storage element")
    return AnnounceFile(bulk.vo, file.lfn, file.content, bulk.who.subject, bulk.who.group, file.ses[0], file.ancestors)


def _new(runtime: Runtime, make: Make, access: Access) -> Work[RegisterFiles | AnnounceFiles]:
    async def work(bulk: Bulk, command: RegisterFiles | AnnounceFiles) -> Results:
        few(command.files)
        elements = runtime.elements(bulk.vo)
        directories = Directories(bulk)
        places = [_placed(bulk, file, elements, access) for file in command.files]
        await directories.look(parent(file.lfn) for file in places if not isinstance(file, Refused))
        asked = [_allowed(directories, file) for file in places]
        asked = await _affordable(bulk, asked)
        commands = [file if isinstance(file, Refused) else make(bulk, file) for file in asked]
        results = await decided(runtime, bulk, [*directories.made, *commands])
        return refusals(results[len(directories.made) :])

    return work


def _placed(bulk: Bulk, file: NewFile, elements: Elements, access: Access) -> NewFile | Refused:
    try:
        check_file(bulk.vo, file.lfn)
        for se in file.ses:
            usable(elements, bulk.vo, se, access)
    except Refused as refused:
        return refused
    return file


def _allowed(directories: Directories, file: NewFile | Refused) -> NewFile | Refused:
    return file if isinstance(file, Refused) else directories.writable(parent(file.lfn)) or file


async def _affordable(bulk: Bulk, files: list[NewFile | Refused]) -> list[NewFile | Refused]:
    """Those that fit into the quotas; where there is none, nothing is locked and nothing summed up."""
    limits = await bulk.connection.fetch(LIMITS, bulk.vo, bulk.who.group, bulk.who.subject)
    if not limits:
        return files
    ids = [file_stream(file.lfn) for file in files if not isinstance(file, Refused)]
    there = {row["file"] for row in await bulk.connection.fetch(KNOWN, ids)}
    ledger = Ledger([await _allowance(bulk, *row) for row in limits])
    return [file if isinstance(file, Refused) or file_stream(file.lfn) in there else _paid(ledger, file)
            for file in files]  # fmt: skip


async def _allowance(bulk: Bulk, scope: str, name: str, most_bytes: int | None, most_files: int | None) -> Allowance:
    group, owner = name if scope == "group" else "", name if scope == "owner" else ""
    used = await bulk.connection.fetchrow(USED, bulk.vo, group, owner)
    return Allowance(scope, name, most_bytes, most_files, *used)


def _paid(ledger: Ledger, file: NewFile) -> NewFile | Refused:
    try:
        ledger.take(file.content.size)
    except Refused as refused:
        return refused
    return file


def _make_directories(runtime: Runtime) -> Work[MakeDirectories]:
    async def work(bulk: Bulk, command: MakeDirectories) -> Results:
        few(command.paths)
        directories = Directories(bulk)
        paths = named(bulk.vo, command.paths)
        await directories.look(path for path in paths if isinstance(path, str))
        results = [_made(directories, path, command.mode) for path in paths]
        await decided(runtime, bulk, directories.made)
        return results

    return work


def _made(directories: Directories, path: str | Refused, mode: int) -> Refused | None:
    if isinstance(path, Refused):
        return path
    try:
        directories.make(path, mode)
    except Refused as refused:
        return refused
    return None


def _confirm(runtime: Runtime) -> Work[ConfirmFiles]:
    async def work(bulk: Bulk, command: ConfirmFiles) -> Results:
        few(command.receipts)
        if command.job:
            await _current(bulk, command.job, command.attempt)
        commands = [ConfirmReplica(bulk.vo, each.lfn, each.se, each.found) for each in command.receipts]
        verdicts = await decided(runtime, bulk, commands)
        return [_problem(verdict.events) or verdict.refusal if not isinstance(verdict, Refused) else verdict
                for verdict in verdicts]  # fmt: skip

    return work


async def _current(bulk: Bulk, job: int, attempt: int) -> None:
    """A superseded attempt registers nothing: its job's row stays as it is until this is committed.

    Raises:
        Refused: JOB_TOKEN.
    """
    held = [status.value for status in HELD_BY_PILOT]
    if not await bulk.connection.fetchval(CURRENT, bulk.vo, job, attempt, held):
        raise Refused(Code.JOB_TOKEN, job=job, attempt=attempt)


def _problem(events: Sequence[object]) -> Refused | None:
    """The bytes are not what was announced: recorded, and told to who waits for it."""
    for recorded in events:
        facts = getattr(recorded, "event", None)
        if isinstance(facts, File.NotStored):
            return Refused(Code.NOT_STORED, lfn=facts.lfn, se=facts.se, problem=facts.problem)
    return None


def _change(runtime: Runtime) -> Work[ChangeReplicas]:
    async def work(bulk: Bulk, command: ChangeReplicas) -> Results:
        few(command.lfns)
        directories = Directories(bulk)
        elements = runtime.elements(bulk.vo)
        if command.verb == "add":
            usable(elements, bulk.vo, command.se, Access.CHECK)
        lfns = named(bulk.vo, command.lfns)
        await directories.look(parent(lfn) for lfn in lfns if isinstance(lfn, str))
        commands = [_changed(bulk, directories, command, lfn) for lfn in lfns]
        return refusals(await decided(runtime, bulk, commands))

    return work


def _changed(bulk: Bulk, known: Directories, command: ChangeReplicas, lfn: str | Refused) -> Command | Refused:
    if isinstance(lfn, Refused):
        return lfn
    if (where := known.at(parent(lfn))) is None:
        return Refused(Code.FILE_UNKNOWN, lfn=lfn)
    return known.writable(where.path) or _replica_command(bulk.vo, lfn, command)


def _replica_command(vo: str, lfn: str, command: ChangeReplicas) -> Command | Refused:
    se, reason = command.se, command.reason
    commands: dict[str, Command] = {
        "add": AddReplica(vo, lfn, se),
        "drop": DropReplica(vo, lfn, se),
        "trust": TrustReplica(vo, lfn, se),
        "doubt": DoubtReplica(vo, lfn, se, reason),
        "lose": DoubtReplica(vo, lfn, se, reason, lost=True),
    }
    problem = f"the verb: expected one of {', '.join(commands)}"
    return commands.get(command.verb) or Refused(Code.MALFORMED, problem=problem)
