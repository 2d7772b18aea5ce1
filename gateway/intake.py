"""One submission, from wherever it comes: understood, numbered, decided; all or none, once however often it is sent."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID, uuid5

from msgspec.structs import replace
from sqlalchemy import Select

from domain.errors import Code, Refused
from domain.job import Status, SubmitJob
from domain.limits import Limits, Rejected
from domain.messages import Command
from domain.sandbox import parse_pfn
from domain.schema import Configuration
from domain.submission import Item, Source, Submission, read
from gateway.errors import LATER, explained
from gateway.ports import Answer, Principal, Reservation, Row
from gateway.rights import ADMINISTRATORS
from projections.jobs import some

AT_ONCE = 2000  # commands in one question


class Outside(Protocol):
    """The part of the world that a submission needs; see `gateway.ports.World`."""

    async def ask(self, who: Principal, commands: Sequence[tuple[UUID, Command]], vo: str = "") -> list[Answer]:
        """Have commands decided."""

    async def read(self, query: Select[Any]) -> list[Row]:
        """Rows of a view."""

    async def keep_bodies(self, bodies: Mapping[str, bytes]) -> None:
        """Intern descriptions."""

    async def reserve(self, submission: UUID, vo: str, digest: str, count: int) -> Reservation:
        """Numbers for `count` jobs; the same submission id gets the same ones again."""


class Accepted(NamedTuple):
    """The jobs of a request that can be submitted, and all places of the request in order."""

    jobs: list[Item]
    places: list[Item | Rejected]
    bodies: dict[str, bytes]

    @property
    def rejected(self) -> int:
        """How many cannot."""
        return len(self.places) - len(self.jobs)


NAMES = ("default_cpu_time", "min_cpu_time", "max_cpu_time", "default_priority", "min_priority", "max_priority",
         "max_input_data", "max_processors")  # fmt: skip


def limits_of(found: Configuration, vo: str, usual: Limits) -> Limits:
    """What a VO accepts, as it is configured; what the configuration does not say is as usual.

    Sites that come with the built-in configuration are examples: nobody is held to them.
    """
    known = found.vo(vo)
    if known is None:
        return usual
    said = known.operations.job_description
    numbers = {name: getattr(said, name) for name in NAMES}
    return replace(
        usual, **numbers, job_types=frozenset(said.job_types), platforms=known.resources.platforms,
        sites=frozenset(known.resources.sites if found.revision else ()),
    )  # fmt: skip


def understood(source: Source, limits: Limits, who: Principal) -> Accepted:
    """What can be submitted of it, held to the limits and to who asks.

    Raises:
        Refused: MALFORMED, TOO_LARGE or TOO_MANY.
    """
    mine = replace(limits, owner=who.name, owner_group=who.group, vo=who.vo)
    found: Submission = read(source, mine)
    places = [_checked(job, who) for job in found.jobs]
    return Accepted([job for job in places if isinstance(job, Item)], places, found.bodies)


def _checked(job: Item | Rejected, who: Principal) -> Item | Rejected:
    """Sandboxes in a job's input are given to its pilot: only those of who submits."""
    if isinstance(job, Rejected):
        return job
    try:
        for name in sandboxes_in(job.input_sandbox):
            pfn = parse_pfn(name)
            if pfn.vo != who.vo or (pfn.owner != who.subject and not who.rights & ADMINISTRATORS):
                raise Refused(Code.SANDBOX_UNKNOWN, pfn=name)
    except Refused as refused:
        return Rejected([refused])
    return job


def sandboxes_in(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that are pfns of sandboxes; others are files that somebody else brings."""
    return tuple(name for name in names if name.startswith(("SB:", ":SB:", "/S3/")))


def first_fault(accepted: Accepted) -> tuple[Refused, dict[str, Any]]:
    """Nothing was submitted: the first fault as the refusal, all of them by their place in the request."""
    rejected = [(n, job) for n, job in enumerate(accepted.places) if isinstance(job, Rejected)]
    jobs = [{"index": n, "errors": [explained(each) for each in job.refusals]} for n, job in rejected[:1000]]
    return rejected[0][1].refusals[0], {"jobs": jobs, "rejected": len(rejected), "accepted": len(accepted.jobs)}


async def submit(world: Outside, who: Principal, submission: UUID, digest: str, accepted: Accepted) -> dict[str, Any]:
    """Number the jobs and have them accepted; numbers of a repeated request are those of the first one."""
    await world.keep_bodies(accepted.bodies)
    reserved = await world.reserve(submission, who.vo, digest, len(accepted.jobs))
    if reserved.jobs != len(accepted.jobs):  # never touch numbers that are not this submission's
        raise Refused(Code.KEY_REUSED, key=str(submission))
    commands = [
        (uuid5(submission, str(number)), numbered(number, who, job))
        for number, job in enumerate(accepted.jobs, reserved.first)
    ]
    answers: list[Answer] = []
    for start in range(0, len(commands), AT_ONCE):
        answers += await world.ask(who, commands[start : start + AT_ONCE])
    there = await _there(world, who, reserved.first, accepted.jobs, answers)
    told = iter(results(reserved.first, answers, there))
    return {
        "submission": submission,
        "jobs": [next(told) if isinstance(job, Item) else _errors(job) for job in accepted.places],
    }


def numbered(number: int, who: Principal, job: Item) -> SubmitJob:
    """The command that submits a job under its number."""
    return SubmitJob(
        number, who.subject, who.name or who.subject, who.group, job.description, job.requirements, job.name,
        job.job_type, job.job_group, job.priority, job.parameters, job.number, sandboxes_in(job.input_sandbox),
        job.input_data,
    )  # fmt: skip


async def _there(
    world: Outside, who: Principal, first: int, jobs: Sequence[Item], answers: Sequence[Answer]
) -> frozenset[int]:
    """The numbers that exist because this very submission came before, or comes twice at this moment."""
    exist = [n for n, each in enumerate(answers, first) if each.refusal and each.refusal.code is Code.JOB_EXISTS]
    rows = await world.read(some(who.vo, exist)) if exist else []
    return frozenset(
        row["job"]
        for row in rows
        if (row["owner"], row["description"]) == (who.subject, jobs[row["job"] - first].description)
    )


def results(first: int, answers: Sequence[Answer], there: frozenset[int]) -> Iterable[dict[str, Any]]:
    """What became of each; raises Refused when one may still become something, so that the client asks again."""
    for number, answer in enumerate(answers, first):
        refusal = answer.refusal
        if refusal is None or number in there:
            yield {"job": number, "status": Status.RECEIVED.value}
        elif refusal.code in LATER:
            raise refusal
        else:
            yield {"job": number, "error": explained(refusal)}


def _errors(job: Rejected) -> dict[str, Any]:
    return {"error": explained(job.refusals[0]), "errors": [explained(each) for each in job.refusals]}
