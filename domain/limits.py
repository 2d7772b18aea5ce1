"""What a VO accepts: the rules a description has to pass, and all that is wrong with it at once."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from domain.data.names import check_file
from domain.description import DEFAULTS, FIELDS, KNOWN, JobDescription, compatible
from domain.errors import Code, Refused
from domain.jdl import NAMES, PARAMETRIC

MOST_PROBLEMS = 50  # of one description; nobody reads more
MOST_SUGGESTIONS = 3  # of them; each costs as much as reading a whole description

FLAGS = frozenset(name for name, default in DEFAULTS.items() if isinstance(default, bool))
# prepared JDL says these too; parameters are read elsewhere
_PASSED_OVER = frozenset({"jobid", "jobrequirements", "parameter_start", "parameter_step", "parameter_factor"})
_PASSED_OVER |= {name.lower() for name in PARAMETRIC}


class Rejected(Exception):
    """A description cannot be accepted; `refusals` holds everything that is wrong with it."""

    def __init__(self, refusals: list[Refused]) -> None:
        super().__init__(refusals)
        self.refusals = refusals

    def __str__(self) -> str:
        return "; ".join(map(str, self.refusals))


class Limits(Struct, frozen=True):
    """What a VO accepts (Operations section JobDescription), and who asks; empty identities are not checked.

    `platforms` maps a DIRAC platform to the platforms it can run (OSCompatibility), `sites` are those of the VO; empty
    accepts any. `lenient` is the old interface: attributes nobody knows are kept, numbers out of range and a missing
    executable pass.
    """

    default_cpu_time: int = 86400
    min_cpu_time: int = 100
    max_cpu_time: int = 500_000
    default_priority: int = 1
    min_priority: int = 0
    max_priority: int = 10
    max_input_data: int = 500
    max_processors: int = 1024
    max_bytes: int = 1 << 20
    max_jobs: int = 10_000
    job_types: frozenset[str] = frozenset({"User", "Test", "Hospital"})
    platforms: Mapping[str, frozenset[str]] = {}
    sites: frozenset[str] = frozenset()
    owner: str = ""
    owner_group: str = ""
    vo: str = ""
    lenient: bool = False


def described(attributes: Mapping[str, Any], lenient: bool = False) -> tuple[dict[str, Any], dict[str, str]]:
    """The attributes by field name, and how the asker wrote each name.

    Raises:
        Rejected: two spellings of one field.
    """
    if attributes.keys() <= FIELDS:
        return dict(attributes), {}
    fields: dict[str, Any] = {}
    written: dict[str, str] = {}
    extra: dict[str, Any] = {}
    for key, value in attributes.items():
        field = KNOWN.get(key.lower())
        if field is None and key.partition(".")[0].lower() in _PASSED_OVER:
            continue
        if field is None and lenient:
            extra[key] = value
        elif (field := field or key) in fields:
            raise Rejected([wrong(key, f"given twice, also as {written[field]}")])
        else:
            plain = isinstance(value, bool) and field not in FLAGS  # `Executable = true` is a program
            fields[field], written[field] = str(value).lower() if plain else value, key
    if extra and isinstance(given := fields.get("extra", {}), Mapping):  # anything else is refused in a moment
        fields["extra"] = {**given, **extra}
    return fields, written


def describe(attributes: Mapping[str, Any], limits: Limits) -> JobDescription:
    """The description behind attributes from JSON, YAML or JDL, with the defaults of the VO.

    Raises:
        Rejected: with one Refused for each field that is wrong.
    """
    fields, written = described(attributes, limits.lenient)
    return checked(fields, limits, written)


def checked(fields: dict[str, Any], limits: Limits, written: Mapping[str, str]) -> JobDescription:
    """The description with these fields; `written` gives the names to complain with.

    Raises:
        Rejected: with one Refused for each field that is wrong.
    """
    if limits.default_cpu_time != DEFAULTS["cpu_time"]:
        fields.setdefault("cpu_time", limits.default_cpu_time)
    if limits.default_priority != DEFAULTS["priority"]:
        fields.setdefault("priority", limits.default_priority)
    try:
        description = JobDescription.model_validate(fields)
    except ValidationError as error:
        raise Rejected(list(_refusals(error, written))) from None
    found = [wrong(written.get(field, field), problem) for field, problem in _broken_rules(description, limits)]
    if found:
        raise Rejected(found)
    return description


def _refusals(error: ValidationError, written: Mapping[str, str]) -> Iterator[Refused]:
    strangers = 0
    for found in error.errors(include_url=False, include_context=False, include_input=False)[:MOST_PROBLEMS]:
        first, *rest = found["loc"] or ("description",)
        field = ".".join(map(str, [written.get(str(first), first), *rest]))
        problem = found["msg"].removeprefix("Value error, ")[:300]
        if found["type"] == "extra_forbidden":
            strangers += 1
            meant = _suggestion(str(first)) if strangers <= MOST_SUGGESTIONS else ""
            problem = f"there is no such attribute{meant}"
        yield wrong(field, problem[0].lower() + problem[1:])


def _suggestion(name: str) -> str:
    near = get_close_matches(name.lower()[:64], KNOWN, n=1)
    spelling = next((jdl for jdl in NAMES if near and jdl.lower() == near[0]), near[0] if near else "")
    return f", did you mean {spelling}?" if near else ""


def wrong(field: str, problem: str) -> Refused:
    """The refusal of one field; names that no store could keep are shown escaped."""
    shown = field.replace("\0", "\\0").encode(errors="backslashreplace").decode()
    return Refused(Code.DESCRIPTION, field=shown[:200], problem=problem)


def _broken_rules(job: JobDescription, limits: Limits) -> Iterator[tuple[str, str]]:
    """The rules that need more than one field, or the limits of the VO."""
    given = job.model_fields_set
    if job.job_type not in limits.job_types:
        yield "job_type", f"expected one of {', '.join(sorted(limits.job_types))}"
    if limits.platforms and job.platforms and not compatible(job.platforms, limits.platforms):
        yield "platforms", f"no platform can run {', '.join(job.platforms)}"
    if job.vo and limits.vo and job.vo != limits.vo:
        yield "vo", f"this job is submitted for {limits.vo}"
    if job.input_data:
        yield from _broken_inputs(job, limits)
    if not limits.lenient:
        yield from _out_of_range(job, limits)
    if "processors" in given and given & {"min_processors", "max_processors"}:
        yield "processors", "cannot be combined with a minimum or maximum"
    if job.max_processors and job.max_processors < (job.min_processors or 1):
        yield "max_processors", f"is below the minimum {job.min_processors}"
    if job.max_ram_mb and job.max_ram_mb < job.min_ram_mb:
        yield "max_ram_mb", f"is below the minimum {job.min_ram_mb}"
    yield from _broken_sites(job, limits)


def _broken_sites(job: JobDescription, limits: Limits) -> Iterator[tuple[str, str]]:
    """Nothing left to run at; names that are no sites of the VO, with those that may have been meant."""
    if job.sites and job.banned_sites and not set(job.sites) - set(job.banned_sites):
        yield "sites", "every wanted site is also banned"
    strangers = {*job.sites, *job.banned_sites} - limits.sites if limits.sites else set()
    for number, name in enumerate(sorted(strangers)):
        field = "sites" if name in job.sites else "banned_sites"
        alike = get_close_matches(name, limits.sites, 1, 0.5) if number < MOST_SUGGESTIONS else []
        yield field, f"there is no site {name[:100]}" + (f"; did you mean {alike[0]}?" if alike else "")


def _broken_inputs(job: JobDescription, limits: Limits) -> Iterator[tuple[str, str]]:
    if len(job.input_data) > limits.max_input_data:
        yield "input_data", f"{len(job.input_data)} files, at most {limits.max_input_data} are accepted"
    if limits.vo and not limits.lenient:
        foreign = (name for name in job.input_data if not name.startswith(f"LFN:/{limits.vo}/"))
        yield from (("input_data", f"{name} is not a file of {limits.vo}") for name in list(foreign)[:1])
        yield from _no_names(job, limits.vo)


def _no_names(job: JobDescription, vo: str) -> Iterator[tuple[str, str]]:
    """Names that no file can ever have: a job would wait for them in vain."""
    for name in job.input_data:
        if name.startswith(f"LFN:/{vo}/"):
            try:
                check_file(vo, name.removeprefix("LFN:"))
            except Refused as refused:
                yield "input_data", refused.what
                return


def _out_of_range(job: JobDescription, limits: Limits) -> Iterator[tuple[str, str]]:
    if not job.executable.strip():
        yield "executable", "a job needs something to run"
    if not limits.min_cpu_time <= job.cpu_time <= limits.max_cpu_time:
        yield "cpu_time", f"expected {limits.min_cpu_time} to {limits.max_cpu_time} seconds"
    if not limits.min_priority <= job.priority <= limits.max_priority:
        yield "priority", f"expected {limits.min_priority} to {limits.max_priority}"
    for field in ("processors", "min_processors", "max_processors"):
        if (getattr(job, field) or 0) > limits.max_processors:
            yield field, f"at most {limits.max_processors} are accepted"
    for field, mine in (("owner", limits.owner), ("owner_group", limits.owner_group)):
        if (claimed := getattr(job, field)) and mine and claimed != mine:
            yield field, f"you are {mine}"
