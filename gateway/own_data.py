"""The data of a running job, with the token that its pilot handed to it: where its inputs can be fetched from, where
its outputs go, and that storage has them. Addresses are good for minutes, each for one file; nothing here names a job.
"""

from typing import Annotated, Any
from uuid import uuid5

from fastapi import APIRouter
from pydantic import Field

from domain.data.bulk import NewFile
from domain.data.element import Access, Elements, preferred
from domain.data.file import Content
from domain.data.request import MakeRequest, Operation
from domain.errors import Code, Refused
from domain.job import Job as Life
from domain.job import NoteJob
from domain.outputs import output_name
from domain.values import job_stream
from gateway import stories
from gateway.data.catalogue import found
from gateway.data.fields import Adler32, Json, SeName, Sha256, Size
from gateway.data.moving import announced, confirmed, source
from gateway.errors import explained
from gateway.fields import Body, Text
from gateway.keys import Key, Keyed
from gateway.objects import LIFETIME
from gateway.ports import Outside, World
from gateway.rights import Job, Own

router = APIRouter(prefix="/api/v1/me/job/data", tags=["own job"])
MOST = 500
KEPT = "UploadedOutputData"  # the value of a job that names its outputs
OutputName = Annotated[Text, Field(min_length=1, max_length=1024)]


class Made(Body):
    """An output file: its name below the job's directory, or LFN:… as it was described; where it did not go."""

    name: OutputName
    size: Size
    sha256: Annotated[Sha256, Field(min_length=64)]
    adler32: Adler32 = ""
    avoid: Annotated[tuple[SeName, ...], Field(max_length=100)] = ()


class Outputs(Body):
    """The output files of a job."""

    files: Annotated[list[Made], Field(min_length=1, max_length=MOST)]


class Put(Body):
    """An output file that was sent to a storage element."""

    name: OutputName
    se: SeName


class Sent(Body):
    """The output files of a job that were sent."""

    files: Annotated[list[Put], Field(min_length=1, max_length=MOST)]


@router.get("/inputs")
async def inputs(own: Job, outside: Outside) -> Json:
    """Each of the job's input files: what it is, and where it can be fetched from, what is near its site first."""
    described = await _described(outside, own)
    lfns = [name.removeprefix("LFN:") for name in described.get("input_data") or ()][:MOST]
    files = (await found(outside, own.who, lfns))["files"] if lfns else {}
    sources = [await source(outside, own.who.vo, lfn, files[lfn]) for lfn in files]
    elements = outside.storages.known(own.who.vo)
    for each in sources:
        each.get("urls", []).sort(key=lambda url: own.row["site"] not in elements[url["se"]].sites)
    return {"inputs": sources, "expires_in": LIFETIME}


@router.post("/outputs")
async def announce(own: Job, key: Keyed, outside: Outside, body: Outputs) -> Json:
    """Where to send outputs: to the storage elements that were asked for, else to whichever can be written to."""
    events = await stories.told(outside, own.who.job)
    described, kept = await stories.description(outside, own.who.job, events), _kept(events)
    elements = outside.storages.known(own.who.vo)
    results: list[Json] = []
    for file in body.files:
        try:
            new = _new(own, described, elements, file)
            (result,) = await announced(outside, own.who, key.id(own.who, "outputs", new.lfn, new.ses[0]), [new])
            if result.get("error", {}).get("code") == Code.FILE_EXISTS.slug and new.lfn in kept:
                result = {"lfn": new.lfn, "se": new.ses[0], "url": None, "fields": {}, "kept": True}
        except Refused as refused:
            result = {"error": explained(refused)}
        results.append({"name": file.name} | result)
    return {"results": results}


@router.post("/outputs/confirm")
async def confirm(own: Job, key: Keyed, outside: Outside, body: Sent) -> Json:
    """Have storage asked for the outputs; what it has as announced is registered, and its name kept with the job."""
    described = await _described(outside, own)
    who = own.who
    names = {output_name(described, who.vo, own.row["owner_name"], who.job, file.name): file for file in body.files}
    places = [(lfn, file.se) for lfn, file in names.items()]
    done = await confirmed(outside, who, key.id(who, "outputs.confirm", who.attempt), places)
    results = [each | {"name": names[each["lfn"]].name} for each in done]
    kept = [each["lfn"] for each in results if "error" not in each]
    if kept:
        await _keep(outside, own, key, [*_kept(await stories.told(outside, own.who.job)), *kept])
    wanted = described.get("output_se") or ()
    for each in results:
        if "error" not in each and wanted and each["se"] not in wanted:
            each["request"] = await _moved(outside, own, each["lfn"], each["se"], wanted[0])
    return {"results": results}


async def _described(world: World, own: Own) -> Json:
    return await stories.description(world, own.who.job, await stories.told(world, own.who.job))


def _new(own: Own, described: Json, elements: Elements, made: Made) -> NewFile:
    """The output as a file that is going to be written.

    Raises:
        Refused: FORBIDDEN, FILE_NAME, SE_UNKNOWN, no storage element is left.
    """
    who = own.who
    lfn = output_name(described, who.vo, own.row["owner_name"], who.job, made.name)
    places = [name for name in _places(who.vo, own.row["site"], described, elements) if name not in made.avoid]
    if not places:
        raise Refused(Code.SE_UNKNOWN, se="that can be written to")
    adler32 = made.adler32.rjust(8, "0") if made.adler32 else ""
    return NewFile(lfn, Content(made.size, adler32, sha256=made.sha256), (places[0],))


def _places(vo: str, site: str, described: Json, elements: Elements) -> list[str]:
    """Where outputs may go: those that were asked for, those near the site, then all others."""
    able = [each.name for each in preferred(elements, vo, Access.WRITE)]
    asked = [name for name in described.get("output_se") or () if name in able]
    near = [name for name in able if site in elements[name].sites]
    return list(dict.fromkeys([*asked, *near, *able]))


async def _moved(world: World, own: Own, lfn: str, at: str, to: str) -> str:
    """A request that brings an output to where it was to go; the job waits for it."""
    who = own.who
    id_ = uuid5(job_stream(who.job), f"{who.attempt}/{lfn}/{to}")
    operations = (Operation("replicate", to), Operation("drop", at))
    command = MakeRequest(who.vo, id_, who.subject, who.group, operations, (lfn,), f"output of job {who.job}",
                          job=who.job, attempt=who.attempt)  # fmt: skip
    (answer,) = await world.ask(who, [(id_, command)])
    if answer.refusal:
        raise answer.refusal
    return str(id_)


def _kept(events: Any) -> list[str]:
    """The outputs that this job has stored, in whichever attempt."""
    said = [each.event.values for each in events if isinstance(each.event, Life.Described)]
    return [name for values in said for name in values.get(KEPT, ())]


async def _keep(world: World, own: Own, key: Key, lfns: list[str]) -> None:
    names = list(dict.fromkeys(lfns))
    command = NoteJob(own.who.job, own.who.attempt, values={KEPT: names})
    (answer,) = await world.ask(own.who, [(key.id(own.who, "outputs.kept", own.who.attempt, *names), command)])
    if answer.refusal:
        raise answer.refusal
