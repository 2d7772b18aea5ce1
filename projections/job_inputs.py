"""The input files of jobs that may still have to run: whom it concerns when a file or a storage element changes."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Index, Select, Table, Text, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB

from domain.data.names import file_stream
from domain.inputs import PART
from domain.job import HOLDABLE, Job
from domain.messages import Recorded
from domain.resource import ResourceKind
from domain.values import job_number
from projections.jobs import metadata, of_stream
from projections.projection import Projection, Put, Values

job_inputs = Table(
    "job_inputs",
    metadata,
    Column("job", BigInteger, primary_key=True),
    Column("vo", Text, nullable=False),
    Column("files", JSONB, nullable=False),  # ids, as texts
    Column("names", JSONB, nullable=False),  # in the same order
    Column("live", Boolean, nullable=False),
    Index("job_inputs_by_file", "files", postgresql_using="gin", postgresql_where=text("live")),
)

projection = Projection(job_inputs, log="jobs", key=of_stream, inline=True)


@projection.creates
def submitted(event: Recorded[Job.Submitted]) -> list[Put]:
    """Jobs without inputs have no row, and cost nothing."""
    names = event.event.inputs
    if not names:
        return []
    ids = [str(file_stream(name)) for name in names]
    return [Put(of_stream(event), {"vo": event.vo, "files": _json(ids), "names": _json(names), "live": True}, True)]


@projection
def over(event: Recorded[Job.Done | Job.Failed | Job.Killed | Job.Completed]) -> Values:
    return {"live": False}


@projection
def again(event: Recorded[Job.Rescheduled]) -> Values:
    return {"live": True}


@projection
def gone(event: Recorded[Job.Deleted]) -> None:
    return None


def _json(values: Sequence[str]) -> str:
    return msgspec.json.encode(values).decode()


# Look-ups of policies

REPLICAS = """select part.job, part.vo, i.lfn, d.status, r.se, r.state from part,
    rows from (jsonb_array_elements_text(part.files), jsonb_array_elements_text(part.names)) as i (file, lfn)
    left join data_files d on d.file = cast(i.file as uuid) left join data_replicas r on r.file = d.file
    order by part.job"""
WAITING = """with part as (select i.job, i.vo, i.files, i.names from job_inputs i join jobs j on j.job = i.job
    where i.live and i.vo = :vo and i.job > :after and j.status in ({statuses}) and {concerned}
    order by i.job limit :part) """.replace("{statuses}", ", ".join(f"'{status.value}'" for status in HOLDABLE))
OF_JOB = "with part as (select * from job_inputs where job = :job) " + REPLICAS  # noqa: S608
OF_FILES = """select f.file, f.status, r.se, r.state from data_files f left join data_replicas r on r.file = f.file
    where f.file = any(array["""
CONCERNED = {
    "file": "i.files ?| array[:name]",
    "se": """exists (select from jsonb_array_elements_text(i.files) f (id) join data_replicas r
        on r.file = cast(f.id as uuid) and r.se = :name)""",
    "all": ":name = :name",
}
AWAITED = """select u.id as file from unnest(cast(:ids as text[])) u (id)
    where exists (select from job_inputs i where i.live and i.files ?| array[u.id])"""


def inputs_of_submitted(event: Recorded[Any]) -> str:
    """What the catalogue has of the inputs of a job: only files of its own VO count. It is written out, for it is
    asked of every job with inputs; ids are all that comes into it."""
    own = [file_stream(name) for name in event.event.inputs if name.startswith(f"/{event.vo}/")]
    return OF_FILES + ",".join(f"'{each}'::uuid" for each in own) + "]::uuid[])"


def inputs_of_job(event: Recorded[Any]) -> Any:
    """The same of a job that comes back, by what was kept of it."""
    job = job_number(event.stream)
    return text(OF_JOB).bindparams(job=job)


def inputs_swept(event: Recorded[Any]) -> Any:
    """The inputs of the next jobs that wait, of those that a change concerns."""
    facts = event.event
    query = WAITING.replace("{concerned}", CONCERNED.get(facts.kind, "false")) + REPLICAS
    return text(query).bindparams(vo=facts.vo, after=facts.after, part=PART, name=facts.name)


def awaited_files(events: Sequence[Recorded[Any]]) -> Any:
    """Which of the files of these events jobs wait with, one question for all."""
    ids = "{" + ",".join(sorted({str(event.stream) for event in events})) + "}"
    return text(AWAITED).bindparams(ids=ids)


def vos_with_inputs(event: Recorded[Any]) -> Select[Any]:
    """The VOs whose jobs have inputs, where a storage element or the configuration changes."""
    facts = event.event
    query = select(job_inputs.c.vo).where(job_inputs.c.live).distinct()
    if getattr(facts, "kind", ResourceKind.SE) is not ResourceKind.SE:
        return query.where(literal(False))
    return query.where(job_inputs.c.vo == facts.scope) if getattr(facts, "scope", "") else query
