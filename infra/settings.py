"""What an operator may set: one model, read from SPINOR_* variables; a wrong value is one clear sentence."""

import difflib
import os
import re
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import Code, Refused


class Settings(BaseSettings):
    """Everything has a default that makes a laptop work; secrets come from the environment and are never shown."""

    model_config = SettingsConfigDict(env_prefix="SPINOR_", frozen=True, extra="ignore")

    data: Path = Field(default_factory=lambda: user_data_path("spinor"), description="where data and logs lie")
    database: str = Field("", description="postgresql://… of a server; empty: an embedded one below `data`")
    bus: str = Field("", description="amqp://… of a RabbitMQ; empty: the bus inside this process")
    host: str = Field("127.0.0.1", description="address the gateway listens on")
    port: int = Field(8642, ge=0, le=65535, description="port the gateway listens on; 0: any free one")
    tls_certificate: Path | None = Field(None, description="PEM file with the certificate and its chain; empty: no TLS")
    tls_key: Path | None = Field(None, description="PEM file with the key of the certificate, readable by us only")
    behind_proxy: str = Field(
        "", description="addresses of proxies whose X-Forwarded-For and -Proto are believed, with commas; empty: none"
    )
    url: str = Field("", description="public URL of the gateway; empty: made from host and port")
    objects: str = Field("", description="http(s)://host:port/bucket of an S3 store; empty: signed files below `data`")
    objects_key: SecretStr = Field(SecretStr(""), description="access key of the S3 store")
    objects_secret: SecretStr = Field(SecretStr(""), description="secret key of the S3 store")
    secret: SecretStr = Field(SecretStr(""), description="signs tokens and URLs; empty: a file below `data`")
    vo: str = Field("demo", pattern=r"^[a-z][a-z0-9.-]{0,63}$", description="the VO of the laptop's own user")
    redirects: str = Field("", description="addresses of web applications that may get authorization codes")
    origins: str = Field("", description="origins of web applications elsewhere that may ask the gateway (CORS)")
    access_seconds: int = Field(1200, ge=60, le=86400, description="life of an access token")
    session_seconds: int = Field(3600, ge=300, le=2_592_000, description="life of a login, however often refreshed")
    refresh_grace: int = Field(20, ge=0, le=300, description="seconds in which a lost refresh may be repeated")
    legacy_key: str = Field(
        "", pattern=r"^([0-9a-f]{64})?$", description="sha256 of the key of the legacy exchange; empty: there is none"
    )
    services: dict[str, dict[str, str]] = Field(
        {}, description='clients with secrets: {"name": {"vo", "group", "secret_sha256"}} as JSON'
    )
    max_jobs: int = Field(10_000, ge=1, le=100_000, description="jobs accepted in one submission")
    pool: int = Field(16, ge=12, le=200, description="database connections of one process for its work")
    log_level: str = Field("warning", description="debug, info, warning or error")

    @field_validator("database")
    @classmethod
    def _postgres(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        return value

    @field_validator("bus")
    @classmethod
    def _amqp(cls, value: str) -> str:
        if value and not value.startswith(("amqp://", "amqps://")):
            raise ValueError("must begin with amqp:// or amqps://")
        return value

    @field_validator("objects")
    @classmethod
    def _s3(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("must be debug, info, warning or error")
        return value.lower()


def settings(**given: Any) -> Settings:
    """The settings in force: `given` values that are not None, then SPINOR_* variables, then defaults.

    Raises:
        Refused: SETTING, naming the first that is wrong.
    """
    known = {f"SPINOR_{name.upper()}" for name in Settings.model_fields} | INTERNAL
    for name in os.environ:
        if name.startswith("SPINOR_") and name not in known:
            alike = difflib.get_close_matches(name[7:], [each[7:] for each in known], 1)
            meant = f"did you mean SPINOR_{alike[0]}?" if alike else f"there are: {', '.join(sorted(known - INTERNAL))}"
            raise Refused(Code.SETTING, name=name, problem=f"it is not known; {meant}")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as fault:
        first = fault.errors()[0]
        name = f"SPINOR_{'_'.join(str(part) for part in first['loc']).upper()}"
        raise Refused(Code.SETTING, name=name, problem=first["msg"].removeprefix("Value error, ")) from None


def reason(fault: BaseException | str) -> str:
    """What a fault of a connection says, without the numbers and classes of libraries."""
    text = re.sub(
        r"\[Errno -?\d+\] |^<|>$", "", fault if isinstance(fault, str) else str(fault) or type(fault).__name__
    )
    inner = re.search(r"\(-?\d+, [\"'](.*?)[\"']\)", text)
    return inner[1] if inner else text


# Variables of ours that are no settings of the server: the client's and the pilot's.
INTERNAL = frozenset({"SPINOR_URL", "SPINOR_TOKEN", "SPINOR_PILOT_SECRET", "SPINOR_JOB", "SPINOR_ATTEMPT",
                      "SPINOR_SITE", "SPINOR_PROCESSORS"})  # fmt: skip
