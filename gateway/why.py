"""GET /jobs/{id}/why: the answer to "why is my job not done", in codes and numbers, for every state."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from fastapi import APIRouter

from domain.inputs import LACKING
from domain.job import BY_OWNER, HOLDABLE, Job, Status
from domain.matching import Queue
from domain.messages import Event, Recorded
from domain.requirements import Requirements
from domain.values import job_stream, pilot_stream
from gateway.fields import InPath
from gateway.ports import Outside, Principal, Row, World
from gateway.rights import User
from gateway.stories import told, visible
from gateway.waiting import answer, waiting
from projections.data import requests
from projections.failures import FAILURES, failure
from projections.history import actor

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
Json = dict[str, Any]


class Case(NamedTuple):
    """A job whose state is to be explained."""

    world: World
    who: Principal
    row: Row
    events: Sequence[Recorded[Event]]

    @property
    def job(self) -> int:
        """Its number."""
        return int(self.row["job"])

    def last(self, *kinds: type[Event]) -> Recorded[Any] | None:
        """The newest event of these kinds."""
        return next((event for event in reversed(self.events) if isinstance(event.event, kinds)), None)


@router.get("/{job}/why")
async def why(who: User, outside: Outside, job: InPath) -> Json:
    """Why the job is where it is: `code`, the sentence `detail`, who must act, what to do `next`, and figures."""
    row = await visible(outside, who, job)
    case = Case(outside, who, row, await told(outside, job))
    status = Status(row["status"])
    if row["held"] and status in HOLDABLE:
        return {"job": job, "status": status.value, "since": row["updated_at"]} | await _held(case)
    found = await CASES[status](case) if status in CASES else answer("in-progress", f"the job is {status.value}")
    return {"job": job, "status": status.value, "since": case.row["updated_at"]} | found


async def _held(case: Case) -> Json:
    """Which reasons keep it from pilots, and who gave the last one."""
    codes = case.row["held"].split()
    event = case.last(Job.Held)
    by = actor(event.actor, {case.row["owner"]: case.row["owner_name"]}) if event else "somebody"
    said = f": {event.event.detail}" if event and event.event.detail else ""
    if codes[-1] in LACKING:
        advice, detail = FAILURES[codes[-1]], case.row["held_detail"]
        return answer(codes[-1], advice.what + (f": {detail}" if detail else ""), advice.who.value, advice.next,
                      codes=codes, by=by)  # fmt: skip
    must = "user" if codes == [BY_OWNER] else "operator"
    return answer("held", f"it is held ({', '.join(codes)}) by {by}{said}", must,
                   f"spinor job release {case.job} --code {codes[-1]}", codes=codes, by=by)  # fmt: skip


async def _checked(case: Case) -> Json:
    return answer("scheduling", "the job is being checked; it waits for pilots in a moment", next="spinor status")


async def _staging(case: Case) -> Json:
    return answer("held", "the job is held until its input files are on disk")


async def _waiting(case: Case) -> Json:
    queued = case.last(Job.Queued)
    wanted = queued.event.requirements if queued else Requirements()
    row = case.row
    queue = Queue(row["queue"] or "", row["vo"], row["owner"], row["owner_group"], wanted, row["priority"])
    return await waiting(case.world, queue, case.job)


async def _with_pilot(case: Case) -> Json:
    """A pilot has it: which, since when, and when both were heard of last."""
    stream, pilot = job_stream(case.job), case.row["pilot"] or ""
    streams = [stream, pilot_stream(case.row["vo"], pilot)]
    heard = await case.world.last_heard(streams)
    matched = case.last(Job.Matched)
    figures = {
        "pilot": pilot,
        "site": case.row["site"],
        "matched_at": matched.at if matched else None,
        "started_at": case.row["started_at"],
        "job_heard_at": heard[stream][0] if stream in heard else None,
        "pilot_heard_at": heard[streams[1]][0] if streams[1] in heard else None,
        "report": heard[stream][1] if stream in heard else {},
    }
    code, detail, who = WITH_PILOT[Status(case.row["status"])]
    next_ = f"spinor pilot show {pilot}"
    return answer(code, detail.format(pilot=pilot, site=case.row["site"]), who, next_, **figures)


WITH_PILOT = {
    Status.MATCHED: ("starting", "pilot {pilot} at {site} has the job and has not confirmed its start yet", "nobody"),
    Status.RUNNING: ("running", "it runs in pilot {pilot} at {site}", "nobody"),
    Status.STALLED: ("silent", "nothing was heard of it since; it ran in pilot {pilot} at {site}", "site"),
    Status.COMPLETING: ("completing", "its program has ended; pilot {pilot} at {site} stores the output", "nobody"),
}


async def _completed(case: Case) -> Json:
    event = case.last(Job.Completed)
    pending = event.event.pending if event else ()
    rows = await case.world.read(requests.of_job(case.job))
    waits = [row["detail"] for row in rows if row["status"] == "Waiting" and row["detail"]]
    detail = f"its program ended well; {len(pending)} requests are still under way"
    return answer("pending", detail + (f": {waits[0]}" if waits else ""), pending=pending,
                  next=f"spinor request why {rows[0]['request']}" if rows else "")  # fmt: skip


async def _failed(case: Case) -> Json:
    event = case.last(Job.Failed)
    settled = case.last(Job.Settled)
    if settled and (not event or settled.version > event.version):
        detail, who, next_ = failure(settled.event.code, job=case.job)
        return answer(settled.event.code, detail, who.value, next_, said=settled.event.detail)
    facts: Any = event.event if event else Job.Failed(case.row["attempt"], case.row["minor_status"])
    detail, who, next_ = failure(facts.code, job=case.job, exit_code=facts.exit_code)
    figures = {"attempt": facts.attempt, "exit_code": facts.exit_code, "said": facts.detail,
               "output": facts.output, "pilot": case.row["pilot"], "site": case.row["site"],
               "reschedules": case.row["reschedules"]}  # fmt: skip
    return answer(facts.code, detail, who.value, next_, **figures)


async def _killed(case: Case) -> Json:
    event = case.last(Job.Killed)
    by = actor(event.actor, {case.row["owner"]: case.row["owner_name"]}) if event else "somebody"
    reason = event.event.reason if event else ""
    detail = f"{by} killed it" + (f": {reason}" if reason else "")
    if case.row["leaving"]:
        detail += f"; pilot {case.row['pilot']} has not said yet that it is gone"
    return answer("killed", detail, next=f"spinor job reschedule {case.job}", by=by, reason=reason)


async def _done(case: Case) -> Json:
    return answer("done", "it ended well", next=f"spinor job output {case.job}", ended_at=case.row["ended_at"])


async def _deleted(case: Case) -> Json:
    return answer("deleted", "it was deleted", next=f"spinor history job {case.job}")


CASES: dict[Status, Callable[[Case], Awaitable[Json]]] = {
    Status.RECEIVED: _checked,
    Status.CHECKING: _checked,
    Status.STAGING: _staging,
    Status.WAITING: _waiting,
    Status.MATCHED: _with_pilot,
    Status.RUNNING: _with_pilot,
    Status.STALLED: _with_pilot,
    Status.COMPLETING: _with_pilot,
    Status.COMPLETED: _completed,
    Status.FAILED: _failed,
    Status.KILLED: _killed,
    Status.DONE: _done,
    Status.DELETED: _deleted,
}
