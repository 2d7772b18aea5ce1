"""What one request to submit contains: jobs read from JDL or JSON, each with its own errors, bodies kept once."""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from domain import jdl
from domain.description import JobDescription, Requirements, canonical, requirements
from domain.errors import Code, Refused
from domain.limits import Limits, Rejected, checked, described, wrong
from domain.messages import Command
from domain.parametric import Room, Row, fill, is_open, numbers, sequences, unknown

Source: TypeAlias = str | bytes | Mapping[str, Any] | list[Any]
MAX_SOURCE = 64 << 20  # bytes of one request
MAX_FILLED = 128 << 20  # characters that placeholders may make of it
MAX_WORDS = 2_000_000  # in all JDL texts of one request: some ten seconds to read
_JSON = re.compile(r"\s*(?:\{|\[\s*[\]{\"])")  # JDL may begin with a bracket too, but then an attribute follows


class Item(Struct, frozen=True, omit_defaults=True, gc=False):
    """One job of a submission: the digest of its body, what fills the body's placeholders, and what is asked often.

    `number` is what `%n` stands for, with its leading zeros; empty for a job that is not parametric. `input_data` are
    the plain names of the files that say where the job may run.
    """

    description: str
    requirements: Requirements
    name: str = "Unknown"
    job_type: str = "User"
    job_group: str = "00000000"
    priority: int = 1
    parameters: Row = {}
    number: str = ""
    input_sandbox: tuple[str, ...] = ()
    output_sandbox: tuple[str, ...] = ()
    input_data: tuple[str, ...] = ()


class Submission(Struct, frozen=True):
    """`jobs` in the order of the request, a Rejected in the place of each that is wrong; `bodies` by digest."""

    jobs: list[Item | Rejected]
    bodies: dict[str, bytes]
    parametric: bool = False

    @property
    def rejected(self) -> list[Rejected]:
        """What is wrong, if anything is."""
        return [job for job in self.jobs if isinstance(job, Rejected)]


class MakeSubmission(Command, frozen=True):
    """Submit jobs: `jobs` is a list of descriptions (or of JDL texts), `jdl` one JDL text; one of the two.

    All or none. The same id with the same content gives the same jobs again.
    """

    TOPIC = "submission.make"
    OUTSIDE = True
    KEYED = False  # the numbers are reserved under the id
    jobs: list[dict[str, Any] | str] = []
    jdl: str = ""


def read(source: Source, limits: Limits | None = None) -> Submission:
    """The jobs in JDL text, JSON text, one description, or a list of descriptions or JDL texts.

    Raises:
        Refused: MALFORMED, TOO_LARGE or TOO_MANY when the request as a whole cannot be taken. What is wrong with
            one job stands in its place in the result.
    """
    limits = limits or Limits()
    jobs: list[Item | Rejected] = []
    bodies: dict[str, bytes] = {}
    parametric, room = False, Room(limits.max_bytes, MAX_FILLED)
    for given in _given(source, limits):
        try:
            attributes = _attributes(given)
            rows = sequences(attributes, limits.max_jobs, room) if _mentions_parameters(attributes) else None
            parametric = parametric or rows is not None
            if rows is None:
                jobs.extend(_one(attributes, limits, bodies))
            else:
                jobs.extend(_many(attributes, rows, limits, bodies, room))
        except Rejected as rejected:
            jobs.append(rejected)
        except Refused as refused:
            if room.full:
                raise
            jobs.append(Rejected([refused]))
        except RecursionError:
            jobs.append(Rejected([Refused(Code.MALFORMED, problem="nested too deeply")]))
        if len(jobs) > limits.max_jobs:
            raise Refused(Code.TOO_MANY, count=len(jobs), things="jobs", limit=limits.max_jobs)
    return Submission(jobs, bodies, parametric)


def _given(source: Source, limits: Limits) -> list[Any]:
    if isinstance(source, str | bytes):
        source = _decoded(source)
    given = source if isinstance(source, list) else [source]
    if not given:
        raise Refused(Code.MALFORMED, problem="there is no job in it")
    if len(given) > limits.max_jobs:
        raise Refused(Code.TOO_MANY, count=len(given), things="jobs", limit=limits.max_jobs)
    words = sum(jdl.words(text) for text in given if isinstance(text, str))
    if words > MAX_WORDS:
        raise Refused(Code.TOO_MANY, count=words, things="words", limit=MAX_WORDS)
    return given


def _decoded(source: str | bytes) -> Any:
    if len(source) > MAX_SOURCE:
        raise Refused(Code.TOO_LARGE, size=len(source), limit=MAX_SOURCE)
    try:
        text = source if isinstance(source, str) else source.decode()
        return msgspec.json.decode(text) if _JSON.match(text) else text
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused(Code.MALFORMED, problem=str(error)[:200]) from None


def _attributes(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str):
        return jdl.parse(given)
    if isinstance(given, Mapping) and all(isinstance(name, str) for name in given):
        return given
    raise Refused(Code.MALFORMED, problem="a job is a set of named attributes, or a JDL text")


def _mentions_parameters(attributes: Mapping[str, Any]) -> bool:
    return any(name[:9].lower() == "parameter" for name in attributes)


def _one(attributes: Mapping[str, Any], limits: Limits, bodies: dict[str, bytes]) -> Iterator[Item]:
    fields, written = described(attributes, limits.lenient)
    job = checked(fields, limits, written)
    body = intern(job)
    _fits(body, limits)
    bodies[name := digest(body)] = body
    yield _item(job, name, limits)


def _many(attributes: Mapping[str, Any], rows: list[Row], limits: Limits, bodies: dict[str, bytes],
          room: Room) -> Iterator[Item | Rejected]:  # fmt: skip
    """The jobs of a parametric description. Each is checked on its own, for any field may depend on a value."""
    fields, written = described(attributes, limits.lenient)
    if not limits.lenient and (stranger := unknown(fields, rows[0].keys())):
        raise Rejected([wrong(f"Parameters.{stranger}", "used but not given")])
    open_fields = {name: value for name, value in fields.items() if is_open(value)}
    body, name = b"", ""
    for number, row in zip(numbers(len(rows)), rows, strict=True):
        try:
            room.next()
            job = checked({**fields, **fill(open_fields, row, number, room=room)}, limits, written)
        except Rejected as rejected:
            yield rejected
            continue
        if not body:
            body = _encoded(canonical(job) | open_fields)
            _fits(body, limits)
            bodies[name := digest(body)] = body
        yield _item(job, name, limits, row, number)


def _item(job: JobDescription, description: str, limits: Limits, row: Row | None = None, number: str = "") -> Item:
    return Item(
        description,
        requirements(job, limits.platforms),
        job.name,
        job.job_type,
        job.job_group,
        job.priority,
        row or {},
        number,
        job.input_sandbox,
        job.output_sandbox,
        _located(job) if job.input_data else (),
    )


def _located(job: JobDescription) -> tuple[str, ...]:
    """The input files that say where the job may run, by their plain names."""
    return () if job.disable_data_scheduling else tuple(name.removeprefix("LFN:") for name in job.input_data)


def _fits(body: bytes, limits: Limits) -> None:
    if len(body) > limits.max_bytes:
        raise Refused(Code.TOO_LARGE, size=len(body), limit=limits.max_bytes)


def _encoded(fields: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(fields, order="sorted")


def intern(job: JobDescription) -> bytes:
    """The body of a description: JSON with sorted keys, without defaults, the same for the same content."""
    return _encoded(canonical(job))


def digest(body: bytes) -> str:
    """The name of a body: 32 hexadecimal digits."""
    return sha256(body).hexdigest()[:32]


def render(body: bytes, parameters: Row | None = None, number: str = "", job: int | None = None) -> JobDescription:
    """The description of one job: its body with the placeholders filled in, `%j` too when the job id is given."""
    fields = msgspec.json.decode(body)
    return JobDescription.model_validate(fill(fields, parameters or {}, number, job) if b"%" in body else fields)
