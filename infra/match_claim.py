"""The way from a chosen queue to a job of it that nobody else can get."""

from collections import defaultdict
from collections.abc import Sequence

from domain.job import Job
from domain.messages import Origin
from domain.values import job_stream
from infra.bus.messages import now
from infra.offers import Chosen, Served
from infra.store import Connection, record

# Everybody else locks a job's row first and then its place in the queue: whoever has one of the two is passed over.
CLAIM = """select q.queue, p.job, p.attempt, j.version, j.vo
    from unnest($1::text[], $2::int[]) q (queue, wanted)
    cross join lateral (select job, attempt from pilot_queue where queue = q.queue
                        order by priority desc, job limit q.wanted for update skip locked) p
    join jobs j on j.job = p.job for update of j skip locked"""


async def claimed(connection: Connection, chosen: Sequence[Chosen]) -> list[Served]:
    """Take the best jobs of the chosen queues; what is to be appended, that they are matched."""
    waiting: dict[str, list[Chosen]] = defaultdict(list)
    for each in chosen:
        waiting[each.taken.queue.id].append(each)
    rows = await connection.fetch(CLAIM, list(waiting), [len(each) for each in waiting.values()])
    served = []
    for row in rows:
        each = waiting[row["queue"]].pop(0)
        offer = each.parked.offer
        said = each.decision.fields() | {"host": offer.host, "platform": offer.platform}
        event = Job.Matched(offer.pilot, offer.offer, row["attempt"], offer.site, offer.ce, said)
        origin = Origin("matcher", row["vo"], now(), correlation=offer.offer)
        matched = record(event, job_stream(row["job"]), row["version"] + 1, origin)
        served.append(Served(each, matched, row["job"], row["attempt"]))
    return served
