"""The configuration: read, written through its checks, looked at before it is written, its history and its schema."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from domain.configuration import (
    OF_A_VO,
    STREAM,
    ChangeConfiguration,
    Installation,
    RollBackConfiguration,
    allowed,
    objections,
    refused,
    well_formed,
)  # fmt: skip
from domain.effects import effects
from domain.errors import Code, Refused
from domain.hygiene import unclean
from domain.messages import Origin, Recorded
from domain.schema import Configuration, Document, read
from domain.tree import Changes, Tree, applied, at, difference, names
from gateway import foresight
from gateway.contract_config import unchanged
from gateway.fields import MOST, Body, Page, Text
from gateway.keys import Keyed
from gateway.ports import Outside, Principal, World
from gateway.rights import Mending, Resident
from gateway.visible import sees_all, visible

router = APIRouter(prefix="/api/v1/config", tags=["config"])
administrator = Mending("configurer", "user", frozenset({"CSAdministrator"}))
Administrator = Annotated[Principal, Depends(administrator)]
Json = dict[str, Any]
Place = Annotated[str, Query(max_length=4096, description="a section, such as /registry/lhcb; empty: all")]
Revision = Annotated[int, Query(ge=0, le=MOST, description="its number; 0: the newest")]
Number = Annotated[int, Field(ge=0, le=MOST)]
MOST_PLACES = 500_000
MOST_TOLD = 50


class Change(Body):
    """What is to become different: places set and removed; or a section that is given whole."""

    expected: Number
    put: Annotated[dict[str, Any], Field(max_length=MOST_PLACES)] = {}
    removed: Annotated[list[str], Field(max_length=MOST_PLACES)] = []
    section: Annotated[str, Field(max_length=4096)] = ""
    value: dict[str, Any] | None = None
    reason: Text = ""


class Back(Body):
    """Which revision to go back to."""

    expected: Number
    revision: Annotated[int, Field(ge=1, le=MOST)]
    section: Annotated[str, Field(max_length=4096)] = ""
    reason: Text = ""


@router.get("")
async def show(
    who: Resident, outside: Outside, request: Request, response: Response, section: Place = "", revision: Revision = 0
) -> Any:
    """A section as it is written, of this or an earlier revision: what the asker may see of it."""
    found = outside.configuration()
    document, number, moment = found.document, found.revision, found.at
    if revision and revision != found.revision:
        events = await _revisions(outside, revision)
        document, number, moment = _at(events), revision, events[-1].at
    etag = f"{number}-{who.vo}-{'all' if sees_all(who, found) else 'own'}"
    response.headers["ETag"] = f'"{etag}"'
    if unchanged(request, etag, moment):
        return Response(status_code=304, headers={"ETag": f'"{etag}"'})
    value = at(visible(document, found, who), _place(section))
    if value is None and section:
        raise Refused(Code.NOT_FOUND, thing="section", name=section)
    return {"revision": number, "at": moment, "section": section, "value": value, "governs": sees_all(who, found)}


@router.get("/schema")
async def schema(who: Resident) -> Json:
    """The JSON Schema of the whole document, for editors."""
    return Document.model_json_schema()


@router.get("/health")
async def health(who: Resident, outside: Outside) -> Json:
    """Whether every section can be read; of other VOs only those who govern the installation hear."""
    found = outside.configuration()
    told = {vo: problems for vo, problems in found.broken.items() if sees_all(who, found) or vo in ("", who.vo)}
    vos = [vo for vo in found.vos if sees_all(who, found) or vo == who.vo]
    return {
        "revision": found.revision, "vos": vos,
        "broken": {vo or "installation": [each.plain() for each in problems] for vo, problems in told.items()},
    }  # fmt: skip


@router.get("/history")
async def history(who: Resident, outside: Outside, limit: Page = 100) -> Json:
    """Who changed what when and why, newest first; changes of what the asker may see."""
    found = outside.configuration()
    told: list[Json] = []
    for event in reversed(await _revisions(outside)):
        if len(told) == limit:
            break
        facts = event.event
        if mine := _mine(Changes(facts.put, facts.removed), found, who):
            told.append({
                "revision": facts.revision, "at": event.at, "author": event.actor, "vo": event.vo,
                "reason": facts.reason, "rolled_back": facts.rolled_back, "places": mine.places[:100],
                "count": len(mine.places),
            })  # fmt: skip
    return {"revisions": told}


@router.get("/diff")
async def diff(who: Resident, outside: Outside, old: Revision, new: Revision = 0) -> Json:
    """What is different between two revisions; the `old` one 0 is an empty document."""
    found = outside.configuration()
    events = await _revisions(outside)
    for number in (old, new):
        if number > len(events):
            raise Refused(Code.REVISION_UNKNOWN, revision=number, newest=len(events))
    new = new or len(events)
    before, after = (visible(_at(events[:number]), found, who) for number in (old, new))
    return {"old": old, "new": new, **_told(difference(before, after), before)}


@router.post("")
async def write(who: Administrator, outside: Outside, key: Keyed, body: Change) -> Json:
    """Change it: all or nothing, against the revision that was seen."""
    found = outside.configuration()
    changes = _changes(body, found, who)
    if not body.expected:  # the first change of all is laid over what is built in
        changes = difference({}, applied(changes, found.document if not found.revision else {}))
    command = ChangeConfiguration(body.expected, changes.put, changes.removed, body.reason)
    return await _asked(outside, who, key, command, changes)


@router.post("/rollback")
async def roll_back(who: Administrator, outside: Outside, key: Keyed, body: Back) -> Json:
    """Make it, or a section, what it was; a change like any other."""
    command = RollBackConfiguration(body.expected, body.revision, body.section, body.reason)
    return await _asked(outside, who, key, command, Changes())


@router.post("/preview")
async def preview(who: Administrator, outside: Outside, body: Change) -> Json:
    """What a change would do, without doing it: what is wrong with it, and what it means for jobs, people, pilots."""
    old = outside.configuration()
    changes = difference(old.document, applied(_changes(body, old, who), old.document))
    if (denied := allowed(Origin(who.actor, who.vo, old.at, rights=who.rights), changes, old)) is not None:
        raise denied
    new = read(applied(changes, old.document), old.revision + 1, old)
    wrong = [each.plain() for each in objections(old, new, changes)][:100]
    vo = "" if sees_all(who, old) else who.vo
    known = await foresight.gathered(outside, vo)
    seen = [each._asdict() for each in effects(old, new, *known)]
    return {"revision": old.revision, "problems": wrong, "effects": seen, **_told(changes, old.document)}


async def _asked(outside: World, who: Principal, key: Keyed, command: Any, changes: Changes) -> Json:
    (answer,) = await outside.ask(who, [(key.id(who, command.TOPIC), command)])
    if answer.refusal:
        raise answer.refusal
    return {"revision": answer.version, "changed": answer.version != command.expected, "places": changes.places[:100]}


def _changes(body: Change, found: Configuration, who: Principal) -> Changes:
    """What is asked for. A section given whole is compared with what the asker sees of it: the rest stays."""
    if body.value is None:
        return _clean(
            Changes({_place(place): value for place, value in body.put.items()}, tuple(map(_place, body.removed)))
        )
    path = _place(body.section)
    seen = visible(found.document, found, who)
    before: Tree = at(seen, path) or {}
    wanted = difference(before if isinstance(before, dict) else {}, body.value)
    if path and not body.value:
        return Changes({path: {}})
    return _clean(Changes({path + place: value for place, value in wanted.put.items()},
                   tuple(path + place for place in wanted.removed)))  # fmt: skip


def _clean(changes: Changes) -> Changes:
    """The changes, if they can be sent at all."""
    well_formed(changes.places)
    if wrong := list(unclean(changes)):
        raise refused(wrong[:MOST_TOLD])
    return changes


def _place(section: str) -> str:
    try:
        names(section)
    except ValueError as fault:
        raise Refused(Code.CONFIGURATION, field=section[:200], problem=str(fault)[:300], count=1) from None
    return section.rstrip("/")


async def _revisions(outside: World, upto: int = 0) -> list[Recorded[Installation.Changed]]:
    events: list[Any] = await outside.history(Installation.LOG, STREAM)
    if upto > len(events):
        raise Refused(Code.REVISION_UNKNOWN, revision=upto, newest=len(events))
    return events[:upto] if upto else events


def _at(events: list[Recorded[Installation.Changed]]) -> Tree:
    document: Tree = {}
    for event in events:
        document = applied(Changes(event.event.put, event.event.removed), document)
    return document


def _mine(changes: Changes, found: Configuration, who: Principal) -> Changes:
    """Of the changes those of places that somebody may see."""
    if sees_all(who, found):
        return changes
    seen = visible(applied(changes, {}), found, who)
    places = {place for place in changes.put if at(seen, place) is not None}
    gone = [place for place in changes.removed if names(place)[0] not in OF_A_VO or names(place)[1:2] == (who.vo,)]
    return Changes({place: changes.put[place] for place in places}, tuple(gone))


def _told(changes: Changes, before: Tree) -> Json:
    """Changes for people and programs: every place with what stood there and what stands there now."""
    return {
        "changes": [
            {"place": p, "old": at(before, p), "new": changes.put.get(p), "removed": p not in changes.put}
            for p in changes.places
        ]
    }  # fmt: skip
