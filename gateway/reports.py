"""What pilots report, as commands: each report is read on its own, so that a bad one never holds up the others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, NamedTuple
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct

from domain.errors import Code, Refused
from domain.job import CompletePayload, DescribeJob, FailJob, FinishJob, PendJob, ProgressJob, Report, StartJob
from domain.sandbox import parse_pfn
from domain.values import MAX_JOB
from gateway.errors import LATER
from gateway.fields import MOST, clean
from gateway.ports import Answer, Principal, Row

Number = Annotated[int, Meta(ge=1, le=MAX_JOB)]
Small = Annotated[int, Meta(ge=0, le=MOST)]
Whole = Annotated[int, Meta(ge=-MOST, le=MOST)]
Figure = Annotated[float, Meta(ge=0, le=MOST)]
MOST_MISSING, MOST_VALUES = 100, 64 * 1024
DEEPEST = 16  # levels in reported values: the log is read for ever, and every reader has to get through
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)  # what a clock may say
USED = ("cpu_seconds", "wall_seconds", "rss_mb", "disk_mb")  # figures in a sign of life
TAIL = 8 * 1024  # characters of a job's output that are kept as its latest word
NAMED = ("job", "attempt", "seq")
Json = dict[str, Any]


class Said(Struct, frozen=True):
    """One report as it comes; each kind uses some of the fields."""

    job: Number
    attempt: Small
    seq: Small
    kind: str
    at: datetime | None = None
    host: str = ""
    pid: Whole = 0
    minor: str = ""
    application: str = ""
    exit_code: Whole | None = None
    code: Annotated[str, Meta(pattern=r"^[a-z][a-z-]{0,63}$")] = "unknown"
    detail: str = ""
    output: str | None = None
    missing: list[str] = []
    pending: list[str] = []
    values: dict[str, Any] = {}
    cpu_seconds: Figure | None = None
    wall_seconds: Figure | None = None
    max_rss_mb: Figure | None = None

    def used(self) -> Json:
        """What the attempt used, and how it ended."""
        return {
            "exit_code": self.exit_code or 0,
            "output": self.output or "",
            "cpu_seconds": self.cpu_seconds or 0.0,
            "wall_seconds": self.wall_seconds or 0.0,
            "max_rss_mb": self.max_rss_mb or 0.0,
        }


class Head(NamedTuple):
    """What every report command begins with. The pilot is the one of the token, whatever a report says."""

    job: int
    attempt: int
    seq: int
    pilot: str
    said_at: datetime | None


def _done(head: Head, said: Said) -> Report:
    missing = tuple(_short(name) for name in said.missing[:MOST_MISSING])
    return FinishJob(**head._asdict(), missing=missing, **said.used())


def _described(head: Head, said: Said) -> Report:
    return DescribeJob(**head._asdict(), values=bounded(said.values))


def bounded(values: Json) -> Json:
    """Values that the log can hold; raises Refused(MALFORMED) or Refused(TOO_LARGE)."""
    if _deeper(values, DEEPEST):
        raise Refused(Code.MALFORMED, problem=f"values: nested deeper than {DEEPEST}")
    try:
        size = len(msgspec.json.encode(values))
    except (OverflowError, UnicodeEncodeError) as fault:
        raise Refused(Code.MALFORMED, problem=str(fault)[:200]) from None
    if size > MOST_VALUES:
        raise Refused(Code.TOO_LARGE, size=size, limit=MOST_VALUES)
    return values


def _pending(head: Head, said: Said) -> Report:
    missing, pending = (tuple(_short(name) for name in names[:MOST_MISSING]) for names in (said.missing, said.pending))
    return PendJob(**head._asdict(), pending=pending, missing=missing, **said.used())


KINDS: dict[str, Callable[[Head, Said], Report]] = {
    "started": lambda head, said: StartJob(**head._asdict(), host=_short(said.host), pid=said.pid),
    "progress": lambda head, said: ProgressJob(
        **head._asdict(), minor=_short(said.minor), application=_short(said.application)
    ),
    "completing": lambda head, said: CompletePayload(**head._asdict(), exit_code=said.exit_code or 0),
    "done": _done,
    "pending": _pending,
    "failed": lambda head, said: FailJob(
        **head._asdict(), code=said.code, detail=clean(said.detail)[:1000], **said.used()
    ),
    "parameters": _described,
}


def read(item: Any, who: Principal, rows: Mapping[int, Row]) -> Report:
    """The command in a report.

    Raises:
        Refused: MALFORMED, JOB_UNKNOWN (not a job of the pilot's VO), FORBIDDEN (an output that is not its owner's).
    """
    try:
        said = msgspec.convert(item, Said, strict=False)
    except (msgspec.ValidationError, RecursionError, UnicodeEncodeError) as fault:
        raise Refused(Code.MALFORMED, problem=str(fault)[:200]) from None
    row = rows.get(said.job)
    if row is None:
        raise Refused(Code.JOB_UNKNOWN, job=said.job)
    if said.output:
        _owned(said.output, row)
    if said.kind not in KINDS:
        raise Refused(Code.MALFORMED, problem=f"kind: expected one of {', '.join(KINDS)}")
    at = said.at if said.at and said.at.tzinfo and FIRST < said.at < LAST else None
    return KINDS[said.kind](Head(said.job, said.attempt, said.seq, speaks_as(who, row), at), said)


def speaks_as(who: Principal, row: Row) -> str:
    """The pilot in whose name somebody reports: itself; a generic one for whichever has the job."""
    return who.subject if who.kind == "pilot" else row["pilot"] or ""


def _owned(output: str, row: Row) -> None:
    """A pilot may only hand its job's owner what is that owner's."""
    pfn = parse_pfn(output)
    if (pfn.vo, pfn.owner) != (row["vo"], row["owner"]):
        raise Refused(Code.FORBIDDEN, right="an output sandbox of the job's owner")


def _short(text: str) -> str:
    return clean(text)[:255]


def _deeper(value: Any, levels: int) -> bool:
    """Whether a value has more levels than these; looks no further down than that."""
    level = [value]
    for _ in range(levels + 1):
        level = list(chain.from_iterable(map(_inner, level)))
    return bool(level)


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def named(item: Json) -> tuple[int, int] | None:
    """The job and attempt that a report or a sign of life speaks of, if it names any that can exist."""
    job, attempt = item.get("job"), item.get("attempt")
    if type(job) is int and type(attempt) is int and 0 < job <= MAX_JOB and 0 <= attempt <= MOST:
        return job, attempt
    return None


def signs(item: Json) -> Json:
    """What is kept of a sign of life."""
    figures = {name: value for name in USED if isinstance(value := item.get(name), int | float) and 0 <= value <= MOST}
    tail = item.get("stdout_tail")
    return figures | {"stdout_tail": clean(tail[-TAIL:]) if isinstance(tail, str) else ""}


def numbers(items: Sequence[Any]) -> list[int]:
    """The jobs that items name, where they name any."""
    found = (item.get("job") for item in items if isinstance(item, dict))
    return sorted({job for job in found if type(job) is int and 0 < job <= MAX_JOB})


class Batch:
    """The reports of one call, and what came of each."""

    def __init__(self, items: Sequence[Any], who: Principal, rows: Mapping[int, Row]) -> None:
        self._items = items
        self._refused: dict[int, Refused] = {}
        self._places: list[int] = []
        self.commands = []
        for place, item in enumerate(items):
            try:
                self.commands.append((uuid4(), read(item, who, rows)))
                self._places.append(place)
            except Refused as refused:
                self._refused[place] = refused

    def results(self, answers: Sequence[Answer]) -> list[Json]:
        """One result a report; what may succeed another time has none, so that the pilot sends it again.

        Raises:
            Refused: there would be no result at all.
        """
        for place, answer in zip(self._places, answers, strict=True):
            if answer.refusal:
                self._refused[place] = answer.refusal
        open_ = {place for place, refused in self._refused.items() if refused.code in LATER}
        if open_ and len(open_) == len(self._items):
            raise self._refused[min(open_)]
        return [self._result(place, item) for place, item in enumerate(self._items) if place not in open_]

    def _result(self, place: int, item: Any) -> Json:
        refused = self._refused.get(place)
        whole = {name: value for name in NAMED if isinstance(item, dict) and type(value := item.get(name)) is int}
        return dict.fromkeys(NAMED) | whole | {"ok": refused is None, "code": refused.code.slug if refused else None}
