"""What a running job may do for itself, with the token that its pilot handed to it: know itself, say how far it is,
keep values and further outputs, fetch its own input. Nothing here names a job: the token does.

    curl -H "Authorization: Bearer $(cat $SPINOR_JOB_TOKEN_FILE)" $SPINOR_URL/api/v1/me/job
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from domain.job import NoteJob
from domain.sandbox import parse_pfn
from gateway import reports, stories
from gateway.fields import Body, Text
from gateway.keys import Key, Keyed
from gateway.objects import LIFETIME
from gateway.ports import Outside, World
from gateway.rights import Job, Own
from gateway.sandboxes import Announced, placed

router = APIRouter(prefix="/api/v1/me/job", tags=["own job"])
SHOWN = ("job", "attempt", "name", "status", "minor_status", "application_status", "site", "pilot", "vo")
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Json = dict[str, Any]


class Progress(Body):
    """How far the job is, as its owner's lists show it."""

    application: Annotated[Text, Field(min_length=1)]


class Parameters(Body):
    """Values worth keeping."""

    values: Annotated[dict[str, Any], Field(min_length=1)]


class Extra(Announced):
    """A further output sandbox; its name is kept with the job under `label`."""

    label: Label


@router.get("")
async def itself(own: Job, outside: Outside) -> Json:
    """The job as it stands, its owner's name and group, and what was submitted."""
    described = await stories.description(outside, own.who.job, await stories.told(outside, own.who.job))
    owner = {"owner": own.row["owner_name"], "group": own.row["owner_group"]}
    return {name: own.row[name] for name in SHOWN} | owner | {"description": described}


@router.post("/status")
async def progress(own: Job, key: Keyed, outside: Outside, body: Progress) -> Json:
    """Say how far the job is."""
    return await _noted(outside, own, key, "status", application=body.application)


@router.post("/parameters")
async def parameters(own: Job, key: Keyed, outside: Outside, body: Parameters) -> Json:
    """Keep values with the job."""
    return await _noted(outside, own, key, "parameters", values=reports.bounded(body.values))


@router.get("/inputs")
async def inputs(own: Job, outside: Outside) -> Json:
    """Where the job's own input sandboxes can be fetched from for a few minutes."""
    return {"inputs": await stories.inputs(outside, await stories.told(outside, own.who.job)), "expires_in": LIFETIME}


@router.post("/outputs")
async def output(own: Job, key: Keyed, outside: Outside, body: Extra) -> Json:
    """Where to put a further output; it belongs to the job's owner, and its name is kept with the job."""
    place = await placed(outside, own.who, body, own.who.group, own.who.subject)
    await _noted(outside, own, key, "outputs", values={f"output {body.label}": str(parse_pfn(place["pfn"]))})
    return place


async def _noted(world: World, own: Own, key: Key, verb: str, **said: Any) -> Json:
    command = NoteJob(own.who.job, own.who.attempt, **said)
    (answer,) = await world.ask(own.who, [(key.id(own.who, verb, own.who.job, own.who.attempt), command)])
    if answer.refusal:
        raise answer.refusal
    return {}
