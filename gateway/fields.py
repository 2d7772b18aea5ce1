"""Fields of requests that many routes share, held to what the log and the views can keep."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from domain.values import MAX_JOB

MOST = 2**31 - 1  # of an integer column
MOST_JOBS = 10_000  # named in one request
_NUL = str.maketrans({"\0": "\N{REPLACEMENT CHARACTER}"})


def clean(text: str) -> str:
    """The text without what PostgreSQL or UTF-8 cannot hold."""
    text = text.translate(_NUL) if "\0" in text else text
    return text if text.isascii() else text.encode(errors="replace").decode()


Stamp = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$")]
Vo = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]{0,63}$")]
Text = Annotated[str, Field(max_length=255), AfterValidator(clean)]
Secret = Annotated[str, Field(min_length=16, max_length=512)]
JobNumber = Annotated[int, Field(ge=1, le=MAX_JOB)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Tags = Annotated[tuple[Text, ...], Field(max_length=100)]

InPath = Annotated[int, Path(ge=1, le=MAX_JOB, description="the job's number")]
QueueInPath = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="the task queue's id")]
PilotInPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$", description="the pilot's stamp")]
Filter = Annotated[str, Query(max_length=255), AfterValidator(clean)]
AsOf = Annotated[AwareDatetime | None, Query(description="only what was known at that moment, with its zone")]
Page = Annotated[int, Query(ge=1, le=1000, description="how many at most")]
After = Annotated[int, Query(ge=0, le=MAX_JOB, description="only what is older than this job")]


class Body(BaseModel):
    """A JSON body; what it does not name is passed over, so that newer clients are understood."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Jobs(Body):
    """Some jobs, and why."""

    jobs: Annotated[list[JobNumber], Field(min_length=1, max_length=MOST_JOBS)]
    reason: Text = ""
