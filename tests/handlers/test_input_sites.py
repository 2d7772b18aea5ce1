"""Where inputs say that jobs may run: held to a plain reading of the rule, and a part at a time."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from scenario import recorded

from domain.data.file import File
from domain.inputs import PART, UNAVAILABLE, UNKNOWN, Found, InputSweep, Near, SweepInputs, found, narrowed
from domain.job import CheckJob, Job, LocateJob, QueueJob
from domain.requirements import Requirements
from domain.values import job_stream
from handlers import input_sites, scheduling

SITES, SES = "ABC", "uvwx"
STORAGES = st.dictionaries(
    st.sampled_from(SES), st.builds(Near, st.frozensets(st.sampled_from(SITES)), st.sampled_from(["", "", "Banned"]))
)
PLACES = st.dictionaries(st.sampled_from(["/vo/1", "/vo/2", "/vo/3"]), st.frozensets(st.sampled_from(SES)))


@given(PLACES, STORAGES)
def test_a_site_is_a_candidate_when_every_input_can_be_read_near_it(
    places: dict[str, frozenset[str]], storages: dict[str, Near]
) -> None:
    rows = [row(name, se) for name, ses in places.items() for se in ses or [None]]
    result = found(sorted(places), rows, storages)

    def reads(site: str, name: str) -> bool:
        near = [storages[se] for se in places[name] if se in storages]
        return any(not se.refuses and (site in se.sites or not se.sites) for se in near)

    candidates = {site for site in SITES if all(reads(site, name) for name in places)}
    anywhere = all(reads("somewhere", name) for name in places)
    assert bool(result.code) == (not candidates and not anywhere)
    assert set(result.sites) == (set() if anywhere else candidates)


def test_the_sites_of_the_job_narrow_those_of_its_inputs() -> None:
    near = Found(("A", "B"))
    assert narrowed(Requirements(), near) == near
    assert narrowed(Requirements(sites=("B", "C")), near) == Found(("B",))
    assert narrowed(Requirements(banned_sites=("A",)), near) == Found(("B",))
    assert narrowed(Requirements(sites=("C",)), near).code == UNAVAILABLE
    assert narrowed(Requirements(sites=("C",)), Found()) == Found()


def row(name: str, se: str | None, job: int = 1) -> dict[str, Any]:
    return {"lfn": name, "status": "Active", "se": se, "state": "Active" if se else None, "job": job, "vo": "lhcb"}


def test_a_job_without_inputs_is_not_looked_at() -> None:
    event = recorded(Job.Submitted(42, "ann", "Ann", "user", "digest", Requirements()), job_stream(42))
    policy = scheduling.policy.bound([input_sites.near_inputs])
    assert policy.lookups(event) == set()
    assert list(policy.react(event, {})) == [CheckJob(42), QueueJob(42)]


def test_those_who_wait_are_looked_at_a_part_at_a_time() -> None:
    event = recorded(InputSweep.Swept("lhcb", "se", "u"))
    few = {"inputs_swept": [row("/lhcb/x", "u", job) for job in (1, 2)],
           "storages": [{"vo": "lhcb", "se": "u", "sites": ("A",), "refuses": ""}]}  # fmt: skip
    assert list(input_sites.policy.react(event, few)) == [LocateJob(1, ("A",)), LocateJob(2, ("A",))]
    many = few | {"inputs_swept": [row("/atlas/x", "u", job) for job in range(1, PART + 1)]}
    *first, last = input_sites.policy.react(event, many)
    assert last == SweepInputs("lhcb", "se", "u", PART)
    assert {command.code for command in first if isinstance(command, LocateJob)} == {UNKNOWN}


def test_of_many_files_that_change_only_those_that_jobs_wait_with_are_swept() -> None:
    events = [recorded(File.ReplicaTrusted(f"/lhcb/{n}", "u"), job_stream(n)) for n in range(1, 4)]
    ((wanted, concerned),) = input_sites.policy.joint([*events, recorded(InputSweep.Swept("lhcb", "all"))])
    given_ = list(wanted.reaction(concerned, awaited_files=[{"file": str(events[1].stream)}]))
    assert given_ == [(events[1], SweepInputs("lhcb", "file", str(events[1].stream)))]
