"""Descriptions are checked field by field and reduced to what matching needs."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import jdl
from domain.description import FIELDS, JobDescription, canonical, requirements, spelled
from domain.errors import Code
from domain.limits import Limits, Rejected, describe
from domain.requirements import SEGMENTS, Requirements, segment
from domain.submission import digest, intern, render

USUAL = Limits()
LENIENT = Limits(lenient=True, vo="lhcb")


def described(limits=USUAL, **attributes):
    return describe({"executable": "run.sh", **attributes}, limits)


def problems(limits=USUAL, **attributes):
    with pytest.raises(Rejected) as rejected:
        describe({"executable": "run.sh", **attributes}, limits)
    assert all(refusal.code is Code.DESCRIPTION for refusal in rejected.value.refusals)
    return {refusal.parameters["field"]: refusal.parameters["problem"] for refusal in rejected.value.refusals}


def test_every_field_has_one_spelling_in_jdl():
    assert set(jdl.NAMES.values()) == FIELDS - {"extra"}
    assert len(set(jdl.NAMES.values())) == len(jdl.NAMES)


def test_jdl_and_json_describe_the_same_job():
    text = """
        JobName = "x"; Executable = run.sh; Arguments = "-a"; CPUTime = 1000; Site = "LCG.A.xx, LCG.B.yy";
        BannedSite = LCG.C.zz; GridRequiredCEs = {ce1}; Tag = GPU; Platform = ANY; WholeNode = Yes; MinRAM = 2000;
        InputData = {"/lhcb/a", "LFN:/lhcb/b", "lfn:/lhcb/a"}; ExecutionEnvironment = {"A=1%202", "B="};
        OutputSandbox = {std.out, std.out}; LogLevel = debug; JobGroup = 00000123; NumberOfProcessors = 4;
    """
    from_json = describe(
        {
            "name": "x",
            "executable": "run.sh",
            "arguments": "-a",
            "cpu_time": 1000,
            "sites": ["LCG.A.xx", "LCG.B.yy"],
            "banned_sites": ["LCG.C.zz"],
            "ces": ["ce1"],
            "tags": ["GPU"],
            "whole_node": True,
            "min_ram_mb": 2000,
            "input_data": ["LFN:/lhcb/a", "LFN:/lhcb/b"],
            "environment": {"A": "1 2", "B": ""},
            "output_sandbox": ["std.out"],
            "log_level": "DEBUG",
            "job_group": "00000123",
            "processors": 4,
        },
        USUAL,
    )
    assert intern(describe(jdl.parse(text), USUAL)) == intern(from_json)


def test_arguments_may_be_a_list_of_words():
    assert described(arguments=["-m", "two words"]).arguments == "-m 'two words'"


def test_all_that_is_wrong_is_said_at_once():
    found = problems(cpu_time="long", priority=[], sites=5, environment="A", std_output="/etc/passwd", processors=0)
    assert set(found) == {"cpu_time", "priority", "sites", "environment", "std_output", "processors"}


def test_an_unknown_attribute_is_refused_with_the_one_that_was_meant():
    assert problems(Executble="x") == {"Executble": "there is no such attribute, did you mean Executable?"}
    assert problems(cpu_tine=1) == {"cpu_tine": "there is no such attribute, did you mean cpu_time?"}
    assert problems(zzzz=1) == {"zzzz": "there is no such attribute"}


def test_a_problem_is_told_with_the_name_that_was_used():
    assert set(problems(CPUTime="x", jobtype="Nothing")) == {"CPUTime"}
    assert set(problems(CPUTime=1, jobtype="Nothing")) == {"CPUTime", "jobtype"}


def test_one_field_under_two_names_is_refused():
    assert problems(Site="A", sites=["B"]) == {"sites": "given twice, also as Site"}


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"executable": " "}, "executable"),
        ({"executable": "a\0b"}, "executable"),
        ({"name": "x" * 129}, "name"),
        ({"job_group": "x" * 33}, "job_group"),
        ({"job_type": "Production"}, "job_type"),
        ({"cpu_time": 99}, "cpu_time"),
        ({"cpu_time": 500_001}, "cpu_time"),
        ({"cpu_time": 10**40}, "cpu_time"),
        ({"cpu_time": float("inf")}, "cpu_time"),
        ({"priority": 11}, "priority"),
        ({"priority": -1}, "priority"),
        ({"processors": 1025}, "processors"),
        ({"processors": 2, "min_processors": 2}, "processors"),
        ({"min_processors": 4, "max_processors": 2}, "max_processors"),
        ({"min_ram_mb": 4, "max_ram_mb": 2}, "max_ram_mb"),
        ({"sites": ["A", "B"], "banned_sites": ["B", "A"]}, "sites"),
        ({"input_data": ["LFN:/lhcb//a"]}, "input_data"),
        ({"input_data": ["a"]}, "input_data"),
        ({"input_data": [f"/lhcb/{number}" for number in range(501)]}, "input_data"),
        ({"input_sandbox": ["LFN:a"]}, "input_sandbox"),
        ({"environment": {"A B": "1"}}, "environment.A B.[key]"),
        ({"environment": {"A": "\0"}}, "environment.A"),
        ({"log_level": "LOUD"}, "log_level"),
        ({"tags": ["\ud800"]}, "tags.0"),
        ({"std_output": "a/../../b"}, "std_output"),
        ({"output_sandbox": ["*.log", "../*"]}, "output_sandbox"),
        ({"tags": [str(number) for number in range(1001)]}, "tags"),
        ({"extra": {"A = 1; B": "x"}}, "extra.A = 1; B.[key]"),
        ({"stop_sig_number": 99}, "stop_sig_number"),
    ],
)
def test_a_value_nobody_can_work_with_is_refused(attributes, field):
    assert list(problems(**attributes)) == [field]


def test_limits_belong_to_the_vo():
    vo = Limits(
        default_cpu_time=1000, default_priority=3, max_cpu_time=2000, max_input_data=1, job_types=frozenset({"Own"}),
        vo="lhcb", owner="ada", owner_group="user",
    )  # fmt: skip
    job = described(vo, job_type="Own", input_data="/lhcb/a", owner="ada", VirtualOrganization="lhcb")
    assert (job.cpu_time, job.priority) == (1000, 3)
    assert set(problems(vo, cpu_time=2001)) == {"cpu_time", "job_type"}
    assert set(problems(vo, job_type="Own", input_data=["/lhcb/a", "/lhcb/b"])) == {"input_data"}
    assert set(problems(vo, job_type="Own", input_data="/atlas/a")) == {"input_data"}
    assert set(problems(vo, job_type="Own", owner="bob", OwnerGroup="x", vo="y")) == {"owner", "OwnerGroup", "vo"}


def test_a_platform_is_replaced_by_those_that_can_run_it():
    limits = Limits(platforms={"el9": frozenset({"el8", "el9"}), "el8": frozenset({"el8"})})
    assert requirements(described(limits, platforms="el8"), limits.platforms).platforms == ("el8", "el9")
    assert requirements(described(limits, platforms="el9"), limits.platforms).platforms == ("el9",)
    assert set(problems(limits, Platform="el7")) == {"Platform"}


def test_the_old_interface_takes_what_it_always_took():
    job = described(LENIENT, executable="", CPUTime=5, Priority=99, Owner="x", LogFilePath="/a", Colours=["r", "g"])
    assert (job.cpu_time, job.priority, job.extra) == (5, 99, {"LogFilePath": "/a", "Colours": ("r", "g")})
    prepared = described(LENIENT, JobRequirements={"CPUTime": 5}, JobID=3, ParameterNumber=3)
    assert canonical(prepared) == {"executable": "run.sh"}
    assert set(problems(LENIENT, CPUTime="x")) == {"CPUTime"}
    assert set(problems(LENIENT, JobType="x", VirtualOrganization="atlas")) == {"JobType", "VirtualOrganization"}


def test_the_schema_can_be_published():
    schema = JobDescription.model_json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == FIELDS
    assert {"type": "string"} in schema["properties"]["tags"]["anyOf"]


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        ({}, 1, 1),
        ({"processors": 8}, 8, 8),
        ({"min_processors": 2, "max_processors": 4}, 2, 4),
        ({"min_processors": 2}, 2, 0),
        ({"min_processors": 1}, 1, 0),
        ({"max_processors": 4}, 1, 4),
    ],
)
def test_processors_are_a_range(given, least, most):
    job = described(**given)
    found = requirements(job)
    assert found == requirements(render(intern(job)))
    assert (found.min_processors, found.max_processors, found.tags) == (least, most, ())


def test_cpu_time_is_rounded_up_to_a_segment():
    assert [segment(time) for time in (0, 360, 361, 500_000)] == [360, 360, 1800, 518_400]
    assert segment(SEGMENTS[-1] + 1) == 13 * 86_400


@given(st.integers(0, 10**7))
def test_a_segment_never_promises_less_than_was_asked(time):
    assert segment(time) >= time
    assert segment(segment(time)) == segment(time)


def test_equal_requirements_have_one_digest_whatever_the_order():
    first = requirements(described(tags=["b", "a"], sites=["Y", "X", "Z"], banned_sites="Z", cpu_time=3000))
    second = requirements(described(tags="a,b,a", sites=["X", "Y"], banned_sites=["Z"], cpu_time=2000))
    assert first == second
    assert hash(first) == hash(second)
    assert first.digest == second.digest
    assert first.digest != requirements(described(tags=["a"])).digest


def test_the_digest_of_requirements_is_the_same_in_every_release():
    assert Requirements().digest == "44136fa355b3678a1146ad16f7e8649e"
    assert Requirements(sites=("A",), min_processors=2).digest == "e3c7ee27cb4a931777a081261a8ad686"


def test_requirements_go_through_a_message_unchanged():
    found = requirements(described(tags=["a"], sites="X", processors=2, gpus=1))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Requirements) == found
    assert msgspec.json.encode(Requirements()) == b"{}"


def test_queues_differ_by_vo_group_owner_and_requirements():
    keys = [("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("a", "b", "d")]
    assert len({Requirements().queue(*key) for key in keys} | {Requirements(gpus=1).queue(*keys[0])}) == 5


def test_a_bare_true_is_a_program_but_a_flag_where_one_is_wanted():
    job = describe(jdl.parse("Executable = true; WholeNode = true;"), USUAL)
    assert (job.executable, job.whole_node) == ("true", True)


def test_a_description_can_be_written_as_jdl_and_read_back():
    job = described(LENIENT, tags=["a"], environment={"A": "1, 2=%"}, cpu_time=500, Colours=["r"], arguments='"x"\n')
    text = jdl.write(spelled(job))
    assert intern(describe(jdl.parse(text), LENIENT)) == intern(job)


def test_a_body_is_canonical_and_leaves_the_owner_out():
    body = intern(described(std_error="std.err", tags=["x"], arguments="a", owner="ada"))
    assert body == b'{"arguments":"a","executable":"run.sh","tags":["x"]}'
    assert digest(body) == digest(intern(described(tags="x", arguments="a")))
