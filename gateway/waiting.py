"""Why what waits still waits, of a job and of a task queue: the matcher's figures as a code, a sentence, an act."""

from datetime import UTC, datetime
from math import sqrt
from typing import Any

import msgspec
from fastapi import APIRouter

from domain.errors import Code, Refused
from domain.matching import Obstacle, Queue, obstacles
from domain.pilot import Status
from domain.why import Explanation, Reason
from gateway.fields import QueueInPath
from gateway.ports import Outside, World
from gateway.rights import User, sees
from projections import pilot_queue, pilots
from projections.waiting import ahead

router = APIRouter(prefix="/api/v1/queues", tags=["queues"])
RULES = frozenset({Obstacle.RESOURCE.value, Obstacle.RUNNING_LIMIT.value, Obstacle.MATCHING_DELAY.value,
                   Obstacle.FAILING.value})  # fmt: skip
Json = dict[str, Any]


@router.get("/{queue}/why")
async def why(who: User, outside: Outside, queue: QueueInPath) -> Json:
    """Why no pilot takes the jobs of a task queue: obstacles with slots, what would open them, whose turn it is."""
    rows = await outside.read(pilot_queue.one(who.vo, queue))
    if not rows or not sees(who, rows[0]["owner"], rows[0]["owner_group"]):
        raise Refused(Code.NOT_FOUND, thing="task queue", name=queue)
    (head,) = await outside.read(pilot_queue.head(queue))
    found = pilot_queue.queue(dict(rows[0]) | {"priority": head["priority"] or 1})
    if not head["waiting"]:
        return {"queue": queue} | answer("empty", "nothing waits in it")
    return {"queue": queue, "since": head["since"]} | await waiting(outside, found)


async def waiting(world: World, queue: Queue, job: int = 0) -> Json:
    """The answer for a queue, or for one job in it."""
    found = await world.explain(queue)
    figures = _figures(found)
    if not found.slots:
        return await _nobody(world, queue, figures)
    if not found.fitting:
        return await _unfit(world, queue, found, figures, job)
    if not found.open:
        return _ruled(found, figures)
    return await _in_line(world, queue, found, figures, job)


def answer(code: str, detail: str, who: str = "nobody", next: str = "", **figures: Any) -> Json:
    """The form of every answer to why."""
    return {"code": code, "detail": detail, "who": who, "next": next} | figures


def _figures(found: Explanation) -> Json:
    reasons = [{name: value for name, value in msgspec.to_builtins(each).items() if value != ""} | {"what": _what(each)}
               for each in found.reasons]  # fmt: skip
    last = datetime.fromtimestamp(found.last_offer, UTC) if found.last_offer else None
    return {"pilots": found.slots, "fitting": found.fitting, "open": found.open, "last_offer": last,
            "reasons": reasons, "openings": msgspec.to_builtins(found.openings)}  # fmt: skip


def _what(reason: Reason) -> str:
    offered = reason.offered or "nothing"
    said = f"{reason.code} {reason.wanted} is wanted, {reason.pilots} of {reason.of} pilots offered {offered}"
    return said + (f" ({reason.detail})" if reason.detail else "")


async def _nobody(world: World, queue: Queue, figures: Json) -> Json:
    """No pilot offers anything: none was submitted, none came yet, or all are gone."""
    counts = {row["status"]: row["count"] for row in await world.read(pilots.by_status(queue.vo))}
    figures |= {"pilots_by_status": counts}
    if counts.get(Status.RUNNING):
        return answer("no-pilot-seen", "the pilots that run have not offered anything yet", "nobody",
                      "spinor pilot list", **figures)  # fmt: skip
    if counts.get(Status.SUBMITTED):
        detail = f"{counts[Status.SUBMITTED]} pilots are expected and none has come yet"
        return answer("no-pilot-seen", detail, "site", "spinor pilot list", **figures)
    if counts.get(Status.ABORTED):
        detail = f"no pilot runs: {counts[Status.ABORTED]} were lost"
        return answer("pilot-lost", detail, "site", "spinor pilot list", **figures)
    return answer("no-pilot-submitted", "no pilot runs and none is expected", "operator", "spinor pilot list",
                  **figures)  # fmt: skip


async def _unfit(world: World, queue: Queue, found: Explanation, figures: Json, job: int) -> Json:
    """No slot has what is asked for. One that had it may have been lost."""
    lost = [offer.pilot for offer, _, _ in await world.offers(queue.vo, Status.ABORTED.value)
            if not any(obstacles(queue.requirements, queue.vo, offer, queue.owner, queue.group))]  # fmt: skip
    if lost:
        detail = f"{len(lost)} pilots that had what it asks for were lost, the last is {lost[-1]}; no other has it"
        return answer("pilot-lost", detail, "site", f"spinor pilot show {lost[-1]}", lost=lost[:10], **figures)
    first, opening = found.reasons[0], next(iter(found.openings), None)
    detail = f"no pilot has what the job asks for: {_what(first)}"
    detail += f"; would match {opening.what}: {opening.slots} slots" if opening else ""
    next_ = f"spinor job description {job}" if job else "spinor queue list"
    return answer(first.code, detail, "user", next_, **figures)


def _ruled(found: Explanation, figures: Json) -> Json:
    """Slots fit, and a rule or a status keeps it from all of them."""
    first = max((each for each in found.reasons if each.code in RULES), key=lambda each: each.pilots)
    detail = f"{found.fitting} of {found.slots} pilots fit, but none may take it: "
    about = first.offered if first.code == Obstacle.RESOURCE.value else f"{first.wanted} is allowed, {first.offered}"
    detail += about + (f" ({first.detail})" if first.detail else "")
    detail += f", since {first.since} by {first.by}" if first.by else ""
    if first.code == Obstacle.RESOURCE.value:
        kind, _, name = first.rule.partition(" ")
        return answer(first.code, detail, "operator", f"spinor resource history {kind}:{name}", **figures)
    return answer(first.code, detail, "operator", "spinor status", **figures)


async def _in_line(world: World, queue: Queue, found: Explanation, figures: Json, job: int) -> Json:
    """Slots are open to it: they have other jobs, or serve others first."""
    count = 0
    if job:
        (row,) = await world.read(ahead(job, queue.id, queue.priority, ()))
        count = row["jobs"]
    figures |= {"ahead": count, "waiting": found.waiting, "priority": queue.priority, "owners_before": found.before,
                "queues_ahead": found.better, "used_core_seconds": round(found.used), "group_share": found.share,
                "estimate": estimate(found, count)}  # fmt: skip
    slots = f"{found.open} of {found.slots} pilots fit"
    if found.before:
        detail = f"{slots}, but {found.before} owners come first: they have had less of their share"
        return answer("others-share-first", detail, **figures)
    if found.better:
        detail = f"{slots}, but {found.better} queues of the same owner have a higher priority"
        return answer("higher-priority-first", detail, **figures)
    if count:
        return answer("in-line", f"{slots}; {count} jobs with the same needs come first", **figures)
    return answer("pilots-busy", f"{slots}; the job is next when one of them asks again", **figures)


def estimate(found: Explanation, before: int) -> Json | None:
    """Seconds until it is matched, from the matches of this queue in the last hour, with one standard deviation."""
    if not found.rate:
        return None
    seconds = (before + 1) / found.rate
    error = seconds * sqrt(1 / found.known + 1 / (before + 1))
    return {"seconds": round(seconds), "error": round(error), "matches": found.known}
