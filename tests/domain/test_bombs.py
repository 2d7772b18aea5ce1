"""Small requests that ask for more than any machine holds are refused before anything of it is made."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from domain.errors import Code, Refused
from domain.parametric import CELLS
from domain.submission import MAX_WORDS, Source, read

JOB: dict[str, Any] = {"executable": "/bin/true"}
MIB = 1 << 20


@pytest.fixture(autouse=True)
def frugal() -> Iterator[None]:
    """Whatever is refused here must not have been made first."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * MIB


def whole(source: Source) -> Code:
    """Why the request as a whole is refused."""
    with pytest.raises(Refused) as refused:
        read(source)
    return refused.value.code


def first(source: Source) -> Code:
    """Why the first job is rejected."""
    return read(source).rejected[0].refusals[0].code


def test_many_placeholders_of_a_long_value() -> None:
    assert first([JOB | {"arguments": "%s" * 10_000, "Parameters": ["x" * 65_536]}]) is Code.TOO_LARGE


def test_many_placeholders_in_many_files_of_many_jobs() -> None:
    names = [f"/lhcb/{number}" + "%s" * 1000 for number in range(500)]
    assert first([JOB | {"input_data": names, "Parameters": ["y" * 60] * 100}]) is Code.TOO_LARGE


def test_a_list_that_stands_for_itself_many_times() -> None:
    items = [str(number) for number in range(5000)]
    assert first([JOB | {"tags": ["%s"] * 1000, "Parameters": [items]}]) is Code.TOO_LARGE


def test_many_jobs_each_of_a_size_that_would_be_accepted() -> None:
    assert whole([JOB | {"arguments": "z" * 900_000 + "%n", "Parameters": 10_000}]) is Code.TOO_LARGE


def test_many_sequences_of_many_numbers() -> None:
    columns = {f"Parameters.p{number}": 10_000 for number in range(1 + CELLS // 10_000)}
    assert whole([JOB | columns]) is Code.TOO_MANY


def test_many_texts_of_many_words() -> None:
    text = "a={" + "1," * 100_000 + "1};"
    assert whole([text] * (1 + MAX_WORDS // 100_000)) is Code.TOO_MANY


def test_what_honest_users_ask_for_is_accepted() -> None:
    jobs = JOB | {"arguments": "--seed %(seed)s --run %(run)s %n", "output_sandbox": ["out-%n.root"],
                  "Parameters.seed": 1000, "Parameters.run": [f"run-{number}" for number in range(1000)]}  # fmt: skip
    found = read([jobs])
    assert len(found.jobs) == 1000
    assert not found.rejected


def test_not_every_one_of_many_misspelled_names_is_compared_with_all_that_exist() -> None:
    problems = read([{f"Executabl{number}": 1 for number in range(100)}]).rejected[0].refusals
    assert len(problems) == 50
    assert sum("did you mean Executable?" in each.what for each in problems) == 3
