"""What every section of the configuration is made of: strict frozen models, names, times, sizes, addresses."""

import re
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


class Section(BaseModel):
    """A section: it cannot be changed, and names that it does not know are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SIZES = {"MB": 1, "GB": 1000, "TB": 1_000_000}
_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([MGT]B)\s*")


def _seconds(value: Any) -> Any:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    return round(float(found[1]) * UNITS[found[2]]) if found else value


def _megabytes(value: Any) -> Any:
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return round(float(found[1]) * SIZES[found[2]]) if found else value


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected a URL that begins with https://")
    if parts.username or parts.password:
        raise ValueError("a URL must not hold a name or a password")
    if parts.scheme == "http" and not _here(parts.hostname):
        raise ValueError("expected https://; plain http:// is for this machine only")
    return value.rstrip("/")


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".invalid"))


def _foreign(value: str) -> str:
    if value.startswith(("SPINOR_", "AWS_", "PG")):
        raise ValueError("this variable is the installation's own, name another")
    return value


def _sorted(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(dict.fromkeys(value)))


LARGEST = 2**31 - 1
VO = r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"
SITE = r"^[A-Za-z][A-Za-z0-9-]*(\.[A-Za-z0-9_-]+\.[A-Za-z]{2,6})?$"
Seconds = Annotated[
    int, BeforeValidator(_seconds, json_schema_input_type=int | str), Field(ge=0, le=10 * 365 * 86400)
]  # 4500, "75m", "2h" or "30d"
Megabytes = Annotated[
    int, BeforeValidator(_megabytes, json_schema_input_type=int | str), Field(ge=0, le=LARGEST)
]  # 4000 or "4 GB"
Url = Annotated[str, StringConstraints(max_length=1024), AfterValidator(_address)]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=1024)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,252}$")]
VoName = Annotated[str, StringConstraints(pattern=VO)]
SiteName = Annotated[str, StringConstraints(pattern=SITE, max_length=128)]
Variable = Annotated[str, StringConstraints(pattern=r"^$|^[A-Z][A-Z0-9_]{0,127}$"), AfterValidator(_foreign)]
Mail = Annotated[str, StringConstraints(pattern=r"^[^@\s\x00]+@[^@\s\x00]+$", max_length=254)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Positive = Annotated[int, Field(ge=1, le=LARGEST)]
Share = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Names = Annotated[tuple[Name, ...], Field(max_length=1000), AfterValidator(_sorted)]
Vos = Annotated[tuple[VoName, ...], Field(max_length=1000), AfterValidator(_sorted)]
Lines = Annotated[tuple[Line, ...], Field(max_length=1000)]
Free = dict[str, Any]  # what communities define for themselves; bounded with the whole document
