"""`transformation.audit`: reads the log of a transformation, stream by stream, and no view."""

from itertools import count

from domain.job import Job
from domain.transformations.audit import Audit
from domain.transformations.definition import Plugin
from domain.transformations.names import batch_stream, task_stream
from domain.transformations.task import AuditTransformation
from domain.values import job_stream
from infra.front import Service
from infra.runtime import Runtime
from infra.store import table
from infra.transformations.work import LOG, Part, Told, definition, held, service

PART = 1000  # streams that are read at once
DONE = f"""select stream_id, count(*) as n from {table(Job.LOG)} where stream_id = any($1::uuid[])
    and topic = 'job.done' group by stream_id"""


def auditing(runtime: Runtime) -> Service:
    """The service. It holds the transformation for a moment, so that what it reads belongs together."""
    return service(runtime, AuditTransformation, _audit)


async def _audit(part: Part, command: AuditTransformation) -> Told:
    row = await held(part.connection, command.vo, command.name)
    it = definition(row)
    audit = Audit(it.targets if it.plugin is Plugin.BROADCAST else ())
    for stream_of in (batch_stream, task_stream):
        for first in count(1, PART):
            streams = [stream_of(command.vo, command.name, n) for n in range(first, first + PART)]
            found = await part.runtime.store.load(part.connection, LOG, streams)
            audit.read(each.event for events in found.values() for each in events)
            if len(found) < PART:
                break
    jobs: dict[int, int] = {}
    for start in range(0, len(audit.jobs), PART):
        numbers = {job_stream(job): job for job in audit.jobs[start : start + PART]}
        for stream, n in await part.connection.fetch(DONE, list(numbers)):
            jobs[numbers[stream]] = n
    return {"transformation": command.name} | audit.report(jobs)
