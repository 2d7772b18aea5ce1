"""Random queues and offers, and an oracle that says what goes together."""

from uuid import UUID

from hypothesis import strategies as st

from domain.matching import WHOLE_NODE, Offer, Queue, Refusing
from domain.requirements import Requirements

NAMES = st.sampled_from(["a", "b", "c"])
SOME = st.lists(NAMES, max_size=2, unique=True).map(lambda names: tuple(sorted(names)))
RARELY = st.one_of(st.just(()), st.just(()), SOME)
SIZE = st.integers(0, 3)
WANTED = st.builds(
    Requirements, cpu_time=SIZE, sites=SOME, banned_sites=RARELY, platforms=RARELY, tags=SOME, ces=RARELY,
    min_processors=SIZE, max_processors=SIZE, whole_node=st.booleans(), gpus=SIZE, min_ram_mb=SIZE,
    job_type=st.sampled_from(["User", "Test"]),
)  # fmt: skip
REFUSING = st.builds(
    Refusing, owners=RARELY, groups=RARELY, job_types=st.just(()) | st.just(("Test",)), platforms=RARELY, tags=RARELY
)
OFFERS = st.builds(
    Offer, offer=st.just(UUID(int=1)), pilot=st.just("p1"), vo=st.sampled_from(["", "x", "y"]), site=NAMES, ce=NAMES,
    platform=NAMES, processors=SIZE, memory_mb=SIZE, cpu_seconds=SIZE, gpus=SIZE,
    tags=st.lists(st.sampled_from(["a", "b", "c", WHOLE_NODE]), max_size=3, unique=True).map(tuple),
    node_processors=SIZE, runs=RARELY, required_tags=RARELY, job_types=st.just(()) | st.just(("Test",)),
    owner=st.just("") | NAMES, groups=RARELY, refuses=st.just(Refusing()) | REFUSING,
)  # fmt: skip
QUEUES = st.lists(
    st.builds(
        Queue, id=st.text("0123", min_size=3, max_size=3), vo=st.sampled_from(["x", "y"]), owner=NAMES,
        group=NAMES, requirements=WANTED, priority=SIZE,
    ),
    max_size=8, unique_by=lambda queue: queue.id,
)  # fmt: skip


def allowed(queue: Queue, offer: Offer) -> bool:
    """The oracle: every rule as one sentence, nothing shared with the code."""
    wanted, banned = queue.requirements, offer.refuses
    return all([
        offer.vo in ("", queue.vo),
        offer.owner in ("", queue.owner),
        queue.group in (offer.groups or (queue.group,)),
        queue.owner not in banned.owners,
        queue.group not in banned.groups,
        wanted.job_type not in banned.job_types,
        not set(wanted.tags) & set(banned.tags),
        not set(wanted.platforms) & set(banned.platforms),
        offer.site in (wanted.sites or (offer.site,)),
        offer.site not in wanted.banned_sites,
        offer.ce in (wanted.ces or (offer.ce,)),
        not wanted.platforms or bool({offer.platform, *offer.runs} & set(wanted.platforms)),
        set(wanted.tags) <= set(offer.tags),
        set(offer.required_tags) <= set(wanted.tags),
        wanted.job_type in (offer.job_types or (wanted.job_type,)),
        offer.processors >= wanted.min_processors,
        not wanted.whole_node or (WHOLE_NODE in offer.tags and offer.processors >= offer.node_processors),
        offer.gpus >= wanted.gpus,
        offer.memory_mb == 0 or offer.memory_mb >= wanted.min_ram_mb,
        offer.cpu_seconds == 0 or offer.cpu_seconds >= wanted.cpu_time,
    ])  # fmt: skip
