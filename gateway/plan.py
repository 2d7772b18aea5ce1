"""POST /jobs/plan: what would become of a submission: where it could run, what blocks it, how long its like waited."""

from collections import Counter
from collections.abc import Sequence
from statistics import quantiles
from typing import Any

import msgspec
from fastapi import APIRouter, Request

from domain.limits import Rejected
from domain.matching import Offer
from domain.requirements import Requirements
from domain.submission import Item
from gateway.errors import explained
from gateway.ports import Outside, Principal, Row, World
from gateway.rights import User
from gateway.submissions import BODY, accepted_of
from projections import assignments, pilot_queue
from projections.waiting import ahead, compared, rivals

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
MOST_KINDS = 50  # different sets of needs that are looked at; the others are only counted
LAST = 2**48  # a job that would come now has a higher number than any
Json = dict[str, Any]


@router.post("/plan", openapi_extra=BODY)
async def plan(who: User, request: Request, outside: Outside) -> Json:
    """As for submitting, and nothing is submitted. `kinds` are the different needs among its jobs.

    Of each: how many jobs, the `sites` of pilots that would take them now, what keeps others away, how many jobs are
    served before them, and how long (seconds) jobs like them `waited` from submission to match.
    """
    accepted = await accepted_of(request, outside, who)
    wanted = Counter((job.requirements, job.priority) for job in accepted.jobs)
    offers = [(offer, at) for offer, at, _ in await outside.offers(who.vo)]
    rows = await outside.read(pilot_queue.of_vo(who.vo))
    kinds = [
        {"jobs": count} | await _kind(outside, who, needs, priority, offers, rows)
        for (needs, priority), count in wanted.most_common(MOST_KINDS)
    ]
    wrong = [(n, job) for n, job in enumerate(accepted.places) if isinstance(job, Rejected)]
    errors = [{"index": n, "errors": [explained(each) for each in job.refusals]} for n, job in wrong[:1000]]
    names = list(dict.fromkeys(job.name for job in accepted.places if isinstance(job, Item)))[:10]
    more = max(len(wanted) - MOST_KINDS, 0)
    return {"jobs": len(accepted.jobs), "rejected": len(wrong), "names": names, "kinds": kinds, "more_kinds": more,
            "errors": errors}  # fmt: skip


async def _kind(
    world: World, who: Principal, needs: Requirements, priority: int, offers: Sequence[tuple[Offer, Any]],
    rows: Sequence[Row],
) -> Json:  # fmt: skip
    seen = compared(needs, who.vo, offers)
    fit = set(seen.fitting)
    fitting = [offer for offer, _ in offers if offer.pilot in fit]
    queue = needs.queue(who.vo, who.group, who.subject)
    before = rivals([pilot_queue.queue(row) for row in rows], queue, priority, fitting)
    (count,) = await world.read(ahead(LAST, queue, priority, before))
    return {
        "requirements": {n: v for n, v in msgspec.to_builtins(needs).items() if v not in ([], (), "", 0, False)},
        "priority": priority,
        "pilots": seen.pilots,
        "fitting": len(fitting),
        "sites": sorted({offer.site for offer in fitting}),
        "ahead": count["jobs"],
        "reasons": [reason._asdict() | {"what": reason.what} for reason in seen.reasons],
        "waited": await _waited(world, who.vo, queue, needs.job_type),
    }


async def _waited(world: World, vo: str, queue: str, job_type: str) -> Json | None:
    """How long jobs with the very same needs waited lately; else those of the same type; None when there are none."""
    for like, restricted in (("the same needs", {"queue": queue}), ("the same type", {"job_type": job_type})):
        seconds = [row["seconds"] for row in await world.read(assignments.waits(vo, **restricted))]
        if len(seconds) > 1:
            cuts = quantiles(seconds, n=20)
            return {"like": like, "jobs": len(seconds), "half": round(cuts[9], 1), "most": round(cuts[18], 1)}
    return None
