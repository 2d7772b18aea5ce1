"""A job with input files waits for pilots near all of them, and is held while there is no such place.

Recomputed by what happens to files, storage elements and the configuration; never by looking now and then.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from domain.configuration import Installation
from domain.data.file import File
from domain.data.names import file_stream
from domain.inputs import PART, Found, InputSweep, SweepInputs, by_storage, found
from domain.job import Job, LocateJob
from domain.messages import Command, Recorded
from domain.resource import Resource
from domain.values import job_number
from handlers.checks import Submitted, check
from handlers.policy import Policy, Rows

policy = Policy("input-sites", log="files")
configured = Policy("input-storages", log="system")
rescheduled = Policy("rescheduling", log="jobs")  # a part of that one, as the next
resources = Policy("usable-sites", log="resources")
Moved = (
    File.Registered | File.Stored | File.ReplicaAdded | File.ReplicaDoubted | File.ReplicaTrusted
    | File.ReplicaDropped | File.Removed | File.Restored
)  # fmt: skip


@check(lambda event: bool(event.event.inputs))
def near_inputs(event: Submitted, inputs_of_submitted: Rows, storages: Rows) -> Iterator[Command]:
    names = {file_stream(name): name for name in event.event.inputs}
    rows = [{**row, "lfn": names[row["file"]]} for row in inputs_of_submitted]
    known = by_storage(storages).get(event.vo, {})
    yield _located(job_number(event.stream), found(event.event.inputs, rows, known))


@rescheduled
def look_again_when_it_comes_back(
    event: Recorded[Job.Rescheduled | Job.Released], inputs_of_job: Rows, storages: Rows
) -> Iterator[Command]:
    yield from _again(inputs_of_job, storages)


@policy.together
def files_changed(events: Sequence[Recorded[Moved]], awaited_files: Rows) -> Iterator[tuple[Recorded[Moved], Command]]:
    """Of thousands of files that come and go, those that some job waits with."""
    last = {str(event.stream): event for event in events}
    for row in awaited_files:
        event = last[row["file"]]
        yield event, SweepInputs(event.vo, "file", row["file"])


@resources
def storage_changed(
    event: Recorded[Resource.StatusSet | Resource.StatusExpired], vos_with_inputs: Rows
) -> Iterator[Command]:
    for row in vos_with_inputs:
        yield SweepInputs(row["vo"], "se", event.event.name)


@configured
def configuration_changed(event: Recorded[Installation.Changed], vos_with_inputs: Rows) -> Iterator[Command]:
    if any(place.startswith(("/resources", "/overrides")) for place in (*event.event.put, *event.event.removed)):
        for row in vos_with_inputs:
            yield SweepInputs(row["vo"], "all")


@policy
def look_at_those_who_wait(event: Recorded[InputSweep.Swept], inputs_swept: Rows, storages: Rows) -> Iterator[Command]:
    """A part at a time: each asks for the next one."""
    seen = dict.fromkeys(row["job"] for row in inputs_swept)
    yield from _again(inputs_swept, storages)
    if len(seen) == PART:
        facts = event.event
        yield SweepInputs(facts.vo, facts.kind, facts.name, list(seen)[-1])


def _again(rows: Rows, storages: Rows) -> Iterator[Command]:
    known = by_storage(storages)
    by_job: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_job.setdefault(row["job"], []).append(row)
    for job, its in by_job.items():
        vo, names = its[0]["vo"], list(dict.fromkeys(row["lfn"] for row in its))
        own = [row for row in its if row["lfn"].startswith(f"/{vo}/")]
        yield _located(job, found(names, own, known.get(vo, {})))


def _located(job: int, place: Found) -> Command:
    return LocateJob(job, place.sites, place.code, place.detail)
