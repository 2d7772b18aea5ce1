"""A submission is read from many forms; bodies are stored once, and each wrong job is told in its place."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import jdl
from domain.description import FIELDS, requirements
from domain.errors import Code, Refused
from domain.limits import Limits, Rejected, describe
from domain.requirements import Requirements
from domain.submission import Item, digest, intern, read, render

USUAL = Limits()
LENIENT = Limits(lenient=True, vo="lhcb")


def test_equal_jobs_share_a_body():
    submission = read([{"executable": "a", "priority": 1}, {"executable": "a"}, {"executable": "b"}])
    first, second, third = submission.jobs
    assert first.description == second.description != third.description
    assert set(submission.bodies) == {first.description, third.description}
    assert not submission.parametric


@pytest.mark.parametrize(
    "source",
    [
        {"executable": "run.sh"},
        [{"executable": "run.sh"}],
        '{"executable": "run.sh"}',
        b' [ {"executable": "run.sh"} ] ',
        "Executable = run.sh;",
        b"[ Executable = run.sh ]",
        ["Executable = run.sh;"],
        '["[ Executable = run.sh ]"]',
    ],
)
def test_a_submission_comes_in_many_forms(source):
    submission = read(source)
    assert list(submission.bodies.values()) == [b'{"executable":"run.sh"}']
    assert submission.jobs == [Item(digest(b'{"executable":"run.sh"}'), Requirements())]


def test_each_job_has_its_own_errors_in_its_place():
    submission = read([{"executable": "a"}, {"executable": "a", "sties": "x"}, "Executable = ", 5, {"executable": "b"}])
    assert [isinstance(job, Rejected) for job in submission.jobs] == [False, True, True, True, False]
    codes = [refusal.code for rejected in submission.rejected for refusal in rejected.refusals]
    assert codes == [Code.DESCRIPTION, Code.JDL_SYNTAX, Code.MALFORMED]
    assert "did you mean Site" in str(submission.rejected[0]) or "did you mean sites" in str(submission.rejected[0])


def test_many_parametric_jobs_store_one_body():
    submission = read(
        'Executable = run.sh; JobName = "n%n"; Arguments = "%s %(f)s %j"; ParameterStep = 2; Parameters = 10000;'
        "Parameters.f = {" + ",".join(f"f{number}" for number in range(10_000)) + "}"
    )
    assert submission.parametric
    assert not submission.rejected
    ((name, body),) = submission.bodies.items()
    assert body == b'{"arguments":"%s %(f)s %j","executable":"run.sh","name":"n%n"}'
    seventh = submission.jobs[7]
    assert (seventh.description, seventh.name, seventh.number) == (name, "n0007", "0007")
    assert seventh.parameters == {"": 15, "f": "f7"}
    assert render(body, seventh.parameters, seventh.number, 4711).arguments == "15 f7 4711"
    assert render(body, seventh.parameters, seventh.number).arguments == "15 f7 %j"


def test_requirements_may_depend_on_a_parameter():
    submission = read(
        'Executable = a; CPUTime = "%(cpu)s"; Site = %(site)s; InputData = %s;'
        'Parameters = {{"/v/a", "/v/b"}, {"/v/c"}};'
        "Parameters.cpu = {1000, 5000}; Parameters.site = {X, ANY}"
    )
    first, second = submission.jobs
    assert first.requirements == Requirements(cpu_time=1800, sites=("X",))
    assert second.requirements == Requirements(cpu_time=21_600)
    assert (first.input_data, second.input_data) == (("/v/a", "/v/b"), ("/v/c",))
    job = render(submission.bodies[first.description], first.parameters, first.number, 1)
    assert (job.cpu_time, job.sites, job.input_data) == (1000, ("X",), ("LFN:/v/a", "LFN:/v/b"))


def test_one_bad_parameter_spoils_one_job():
    submission = read('Executable = a; CPUTime = "%s"; Parameters = {x, 1000, 5}')
    assert [isinstance(job, Rejected) for job in submission.jobs] == [True, False, True]
    assert len(submission.bodies) == 1


def test_json_describes_parametric_jobs_too():
    submission = read({"executable": "%(x)s", "parameters": {"x": ["a", "b"]}, "parameter_start": {"y": 4}})
    assert [job.parameters for job in submission.jobs] == [{"x": "a", "y": 4}, {"x": "b", "y": 4}]


def test_a_placeholder_without_values_is_refused():
    (rejected,) = read("Executable = a; Arguments = %(seeds)s; Parameters.seed = {1, 2}").jobs
    assert rejected.refusals[0].parameters == {"field": "Parameters.seeds", "problem": "used but not given"}


def test_percent_signs_of_a_plain_job_are_its_own():
    (job,) = read({"executable": "date", "arguments": "+%s %n %(x)s %j"}).jobs
    body = intern(describe({"executable": "date", "arguments": "+%s %n %(x)s %j"}, USUAL))
    assert job.description == digest(body)
    assert render(body, job.parameters, job.number, 12).arguments == "+%s %n %(x)s 12"


def test_more_jobs_than_allowed_are_refused():
    few = Limits(max_jobs=20)
    for source in ([{"executable": "a"}] * 21, ["Executable = a; Parameters = 11"] * 2):
        with pytest.raises(Refused) as refused:
            read(source, few)
        assert refused.value.code is Code.TOO_MANY
    (rejected,) = read("Executable = a; Parameters = 21", few).jobs
    assert rejected.refusals[0].code is Code.TOO_MANY


DEEP = {}
for _ in range(100_000):
    DEEP = {"extra": DEEP}

HOSTILE = {
    "nothing": [],
    "empty text": "",
    "broken JSON": '{"executable": ',
    "deep JSON": '{"a":' * 1_000_000,
    "deep JSON list": '[{"a":' + "[" * 1_000_000,
    "not UTF-8": b"\xff\xfe{",
    "ten megabytes": {"executable": "x" * 10_000_000},
    "ten megabytes of JSON": '{"executable": "' + "x" * 10_000_000 + '"}',
    "deep objects": DEEP,
    "NUL": {"executable": "a\0"},
    "surrogate": {"executable": "\ud800"},
    "surrogate name": {"\ud800": 1},
    "name that is no text": {5: 5},
    "long unknown name": {"x" * 1_000_000: 1},
    "many unknown names": {f"x{number}": 1 for number in range(20_000)},
    "many bad entries": {"executable": "a", "tags": [5.5j] * 100_000},
    "number": json.dumps([5]),
    "deep template": {"executable": "%s", "parameters": 2, "extra": DEEP},
    "deep JSON template": '{"parameters": 2, "executable": "a", "tags": ' + "[" * 700 + "]" * 700 + "}",
    "NUL in a parameter": {"executable": "a", "parameters": ["a\0"]},
    "surrogate in a parameter": {"executable": "a", "parameters": ["\ud800"]},
    "infinite parameter": {"executable": "a", "parameters": [float("inf")]},
    "huge parameter": {"executable": "a", "parameters": [10**5000]},
    "parameter without a proper name": {"executable": "a", "parameters": {"a b": [1]}},
    "extra that is no record": {"executable": "a", "extra": 5, "zzz": 1},
    "parameters of any kind": {"executable": "a", "parameters": {"x": {"y": object()}}},
    "huge number": {"executable": "a", "parameters": 10**5000},
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("limits", [USUAL, LENIENT], ids=["usual", "lenient"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_input_ends_in_a_refusal(kind, limits):
    try:
        rejected = read(HOSTILE[kind], limits).rejected
    except Refused:
        return
    assert rejected
    assert all(len(msgspec.json.encode(refusal.parameters)) < 10_000 for each in rejected for refusal in each.refusals)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*sorted(FIELDS), *jdl.NAMES, *jdl.PARAMETRIC, "Parameters.x", "zzz"])


@given(st.dictionaries(NAMES, JSON, max_size=6), st.sampled_from([USUAL, LENIENT]))
def test_whatever_comes_is_accepted_or_refused_and_what_is_accepted_can_be_rendered(attributes, limits):
    try:
        submission = read({"executable": "run.sh"} | attributes, limits)
    except Refused:
        return
    for job in submission.jobs:
        if isinstance(job, Item):
            rendered = render(submission.bodies[job.description], job.parameters, job.number)
            assert requirements(rendered, limits.platforms) == job.requirements
            assert (rendered.name, rendered.input_data) == (job.name, job.input_data)
