"""Fields of requests about data, and how many items are answered: each has its own result."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import Query, Response
from pydantic import AfterValidator, Field, StringConstraints

from domain.data.bulk import MOST, NewFile
from domain.data.file import Content
from domain.data.names import LONGEST
from gateway.fields import Body, clean
from gateway.ports import Answer

Json = dict[str, Any]
LARGEST = 2**63 - 1  # what a column can keep
Name = Annotated[str, Field(max_length=LONGEST + 1), AfterValidator(clean)]
Names = Annotated[list[Name], Field(min_length=1, max_length=MOST)]
Size = Annotated[int, Field(ge=0, le=2**50)]
Hex = StringConstraints(to_lower=True)
Adler32 = Annotated[str, StringConstraints(to_lower=True, pattern=r"^([0-9a-fA-F]{1,8})?$")]
Md5 = Annotated[str, StringConstraints(to_lower=True, pattern=r"^([0-9a-fA-F]{32})?$")]
Sha256 = Annotated[str, StringConstraints(to_lower=True, pattern=r"^([0-9a-fA-F]{64})?$")]
Guid = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{0,64}$")]
SeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$")]
Ses = Annotated[tuple[SeName, ...], Field(max_length=100)]
Ancestors = Annotated[tuple[Name, ...], Field(max_length=100)]
Path = Annotated[str, Query(max_length=LONGEST), AfterValidator(clean)]
AfterName = Annotated[str, Query(max_length=LONGEST, description="only what comes after this"), AfterValidator(clean)]
Mode = Annotated[int, Field(ge=0, le=0o777, description="as a number: 509 is rwxrwxr-x")]


class Described(Body):
    """A file: its name, what it contains, where it lies."""

    lfn: Name
    size: Size
    adler32: Adler32 = ""
    md5: Md5 = ""
    sha256: Sha256 = ""
    guid: Guid = ""
    ses: Ses = ()
    ancestors: Ancestors = ()

    def as_new(self) -> NewFile:
        """As commands have it; an adler32 is kept with all of its eight digits."""
        adler32 = self.adler32.rjust(8, "0") if self.adler32 else ""
        content = Content(self.size, adler32, self.md5, self.sha256, self.guid)
        return NewFile(self.lfn, content, self.ses, self.ancestors)


class Files(Body):
    """Some files."""

    files: Annotated[list[Described], Field(min_length=1, max_length=MOST)]


class Some(Body):
    """Some names."""

    lfns: Names


class Paths(Body):
    """Some directories."""

    paths: Names


class NewDirectories(Paths):
    """Directories to be made."""

    mode: Mode = 0o775


class Protection(Paths):
    """Who may do what in some directories; what is left out stays."""

    mode: Mode | None = None
    owner: Annotated[str, Field(max_length=64), AfterValidator(clean)] | None = None
    group: Annotated[str, Field(max_length=64), AfterValidator(clean)] | None = None


class Replicas(Some):
    """Replicas at one storage element."""

    se: SeName
    reason: Annotated[str, Field(max_length=255), AfterValidator(clean)] = ""


def fast(value: Any, status: int = 200) -> Response:
    """A JSON answer that is not looked at twice: bulks have thousands of items."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def told(answer: Answer, items: Sequence[str], name: str = "lfn") -> Json:
    """The result of each item, in order, and how many there are of each kind; raises what all were refused for."""
    if answer.refusal:
        raise answer.refusal
    results = [{name: item, "error": error} if error else {name: item}
               for item, error in zip(items, answer.told["results"], strict=True)]  # fmt: skip
    return {"results": results, "counts": Counter("refused" if "error" in each else "done" for each in results)}
