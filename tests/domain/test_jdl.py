"""JDL text becomes attributes, errors say where and what was expected, and hostile text ends quickly."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain import jdl
from domain.errors import Code, Refused

TYPICAL = """
[   # a comment
    Arguments = "jobDescription.xml -o LogLevel=INFO";
    Executable = "dirac-jobexec";  // another
    jobgroup = jobGroup;
    OutputSandbox =
        {
            Script1_CodeOutput.log,
            "std.err",   /* and one
            over lines */
            std.out
        };
    Priority = 1;
    Site = LCG.CERN.cern;
    Tag = {GPU};
    WholeNode = true;
    StdError = std.err
]
"""


def test_a_typical_description_is_read():
    assert jdl.parse(TYPICAL) == {
        "Arguments": "jobDescription.xml -o LogLevel=INFO",
        "Executable": "dirac-jobexec",
        "JobGroup": "jobGroup",
        "OutputSandbox": ["Script1_CodeOutput.log", "std.err", "std.out"],
        "Priority": 1,
        "Site": "LCG.CERN.cern",
        "Tags": ["GPU"],
        "WholeNode": True,
        "StdError": "std.err",
    }


def test_brackets_are_optional_and_names_have_no_case():
    assert jdl.parse("executable=a;CPUTIME=5;") == jdl.parse("[Executable = a; CpuTime = 5]")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("1.5", 1.5),
        ("007", "007"),
        ("1.10", "1.10"),
        ("1e5", "1e5"),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("nan", "nan"),
        ("9" * 30, "9" * 30),
        ('"5"', "5"),
        ('""', ""),
        (r'"a \"b\" \\ \t\n"', 'a "b" \\ \t\n'),
        (r'"\d+\s"', r"\d+\s"),
        ('"over\nlines"', "over\nlines"),
        ("/bin/echo -n hello # words", "/bin/echo -n hello"),
        ("http://host//path/*.root", "http://host//path/*.root"),
        ("a,b", "a,b"),
        ("%(name)s_%n", "%(name)s_%n"),
        ("grüße", "grüße"),
        ("{}", []),
        ("{1, two words, {\"x\", {}},}", [1, "two words", ["x", []]]),
        ("[ A = 1; B = [ C = {2} ] ]", {"A": 1, "B": {"C": [2]}}),
        ("[]", {}),
    ],
)  # fmt: skip
def test_values_become_what_they_look_like(text, value):
    found = jdl.parse(f"X = {text};")["X"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("", 1, 1, "at least one attribute"),
        ("# nothing\n", 1, 1, "at least one attribute"),
        ("[ ]", 1, 1, "at least one attribute"),
        ("abc", 1, 1, "expected '=', found the end"),
        ("A = ;", 1, 5, "a value, found ';'"),
        ("A = 1\nB = 2", 2, 1, "expected ';'"),
        ("A = 1 B = 2", 1, 9, "expected ';'"),
        ('A = 1;\n B = "x', 2, 6, "closing quote"),
        ("A = 1; /* x", 1, 8, "*/"),
        ("A = {1, 2", 1, 9, "expected ',' or '}', found the end"),
        ("[ A = 1", 1, 7, "expected ']', found the end"),
        ("A = 1 ]", 1, 7, "expected the end of the text"),
        ("A = {,}", 1, 6, "a value"),
        ("A = 1;\na = 2", 2, 1, "a is given twice"),
        ("Tag = 1;\nTags = 2", 2, 1, "Tags is given twice"),
        ("['Arguments = \"j\"'\n'Executable = \"d\"']", 1, 2, "an attribute name"),
        ('A = b"c', 1, 6, "closing quote"),
        ("A = 1;\nB = \0;", 2, 5, "NUL"),
        ("A = 1;\x01", 1, 7, "an attribute name"),
    ],
)
def test_an_error_says_where_it_is_and_what_was_expected(text, line, column, problem):
    with pytest.raises(Refused) as refused:
        jdl.parse(text)
    assert refused.value.code is Code.JDL_SYNTAX
    assert problem in refused.value.parameters["problem"]
    assert (refused.value.parameters["line"], refused.value.parameters["column"]) == (line, column)


HOSTILE = {
    "deep list": "A = " + "{" * 1_000_000,
    "deep record": "A = " + "[ A = " * 300_000,
    "deep and closed": "A = " + "{" * 5000 + "}" * 5000,
    "ten megabytes": 'A = "' + "x" * 10_000_000 + '"',
    "long unterminated string": 'A = "' + "x" * 4_000_000,
    "many backslashes": 'A = "' + "\\" * 3_000_001,
    "many quotes": "A = " + '"' * 100_001,
    "many comment openings": "/*" * 1_000_000,
    "many equals": "A = " + "=" * 1_000_000,
    "many items": "A = {" + "a," * 1_500_000,
    "many semicolons": ";" * 1_500_000,
    "many words": "A = " + "a " * 1_000_000 + "=",
    "blanks": " " * 4_000_000,
    "surrogate": "\ud800 = 1",
    "NUL in string": 'A = "a\0b";',
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_is_refused(kind):
    with pytest.raises(Refused):
        jdl.parse(HOSTILE[kind])


@given(st.text(alphabet=st.sampled_from('aZ_09.%{}[]=;,"\\#/* \n\t-\0é😀')))
def test_any_text_is_read_or_refused(text):
    try:
        assert jdl.parse(text)
    except Refused as refused:
        assert refused.code is Code.JDL_SYNTAX
        assert refused.parameters["line"] >= 1
        assert refused.parameters["column"] >= 1


SCALARS = (
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    | st.integers()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: len(str(number)) <= 20)
)
ATTRIBUTE_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,12}", fullmatch=True).map(jdl.canonical)


def records(values):
    return st.dictionaries(ATTRIBUTE_NAMES, values, max_size=5).filter(
        lambda record: len({name.lower() for name in record}) == len(record)
    )


VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | records(inner), max_leaves=8)


def lossless(value):
    """The same value, with integers too long for a number of JDL as text."""
    if isinstance(value, dict):
        return {name: lossless(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [lossless(inner) for inner in value]
    return str(value) if isinstance(value, int) and len(str(value)) > 20 else value


@given(records(VALUES).filter(bool))
@example({"A": r"\n", "B": '\\"', "C": "\\", "D": -0.0, "E": "true", "F": "#x", "G": [[], {}, [[]]]})
def test_what_is_written_is_read_back_unchanged(attributes):
    assert repr(jdl.parse(jdl.write(attributes))) == repr(lossless(attributes))


def expanded(text, limit=10_000):
    return jdl.expand(jdl.parse(text), limit)


def test_a_number_of_parameters_counts_from_start_by_step_and_factor():
    jobs = expanded('A = "%s/%n"; Parameters = 4; ParameterStart = 3; ParameterStep = 1; ParameterFactor = 2;')
    assert [job["A"] for job in jobs] == ["3/0", "7/1", "15/2", "31/3"]
    assert [(job["Parameter"], job["ParameterNumber"]) for job in jobs] == [(3, 0), (7, 1), (15, 2), (31, 3)]
    assert all("Parameters" not in job and "ParameterStart" not in job for job in jobs)


def test_without_start_step_and_factor_every_value_is_one():
    assert [job["A"] for job in expanded('A = "%s"; Parameters = 2')] == ["1", "1"]


def test_a_list_gives_its_values_in_order():
    assert [job["A"] for job in expanded("A = x_%s; Parameters = {a, 2, 1.10}")] == ["x_a", "x_2", "x_1.10"]


def test_named_and_unnamed_sequences_go_side_by_side():
    jobs = expanded(
        'A = "%s %(seed)s %(F)s %(none)s %j"; Parameters = {a, b}; Parameters.F = {x, y}; ParameterStart.seed = 5;'
        "ParameterStep.seed = 0.5"
    )
    assert [job["A"] for job in jobs] == ["a 5 x %(none)s %j", "b 5.5 y %(none)s %j"]
    assert (jobs[1]["Parameter"], jobs[1]["Parameter.F"], jobs[1]["Parameter.seed"]) == ("b", "y", 5.5)


def test_the_index_has_leading_zeros():
    assert [job["A"] for job in expanded('A = "%n"; Parameters = 12')] == [f"{index:02}" for index in range(12)]
    assert [job["A"] for job in expanded('A = "%n"; Parameters = 10')] == [str(index) for index in range(10)]


def test_a_list_as_value_takes_the_place_of_its_placeholder():
    jobs = expanded("InputData = %s; A = {x, %s}; B = <%s>; Parameters = {{a, b}, {c}}")
    assert [job["InputData"] for job in jobs] == [["a", "b"], ["c"]]
    assert [job["A"] for job in jobs] == [["x", "a", "b"], ["x", "c"]]
    assert [job["B"] for job in jobs] == ["<a,b>", "<c>"]


def test_a_job_without_parameters_stays_alone_and_keeps_its_percent_signs():
    assert expanded('A = "date +%s %n"') == [{"A": "date +%s %n"}]


def test_ten_thousand_jobs_come_out_of_one_text():
    jobs = expanded("A = %s; ParameterStep = 1; Parameters = 10000")
    assert [jobs[0]["A"], jobs[-1]["A"], len(jobs)] == ["1", "10000", 10_000]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Parameters = 0", "above 0"),
        ("Parameters = -3", "above 0"),
        ("Parameters = 1.5", "above 0"),
        ("Parameters = {}", "above 0"),
        ("Parameters = many", "a number"),
        ("Parameters = [ ]", "a number"),
        ("ParameterStart = 3", "needs Parameters"),
        ("Parameters = {a, b}; Parameters.X = {c}", "same length (Parameters: 2, Parameters.X: 1)"),
        ("Parameters = 3; ParameterFactor = {1}", "a number"),
        ("Parameters = 10000; ParameterFactor = 10", "too large"),
        ("Parameters = 3; ParameterStart = nan", "a number"),
        ("Parameters = 3; ParameterStep = 1e999", "a number"),
        ("Parameters = {{{a}}}", "lists of them"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(text, problem):
    with pytest.raises(Refused, match=re.escape(problem)) as refused:
        expanded("A = %s;" + text)
    assert refused.value.code is Code.DESCRIPTION
    assert refused.value.parameters["field"].startswith("Parameters")


@pytest.mark.parametrize("count", ["21", "9999999999", "1e300", "{" + "a," * 21 + "}"])
def test_too_many_jobs_are_refused_before_any_is_made(count):
    with pytest.raises(Refused) as refused:
        expanded(f"A = %s; Parameters = {count}", limit=20)
    assert refused.value.code is Code.TOO_MANY
    assert refused.value.parameters["limit"] == 20
