"""What a command of an operator needs first: the system in force, its settings, its log, an event loop."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from infra.settings import Settings, settings

Database = Annotated[str | None, typer.Option(help="postgresql://… of a server; default: an embedded one")]
Bus = Annotated[str | None, typer.Option(help="amqp://… of a RabbitMQ; default: the bus inside this process")]
Data = Annotated[Path | None, typer.Option(help="directory of data and logs")]
Host = Annotated[str | None, typer.Option(help="address to listen on")]
Port = Annotated[int | None, typer.Option(help="port to listen on; 0 takes a free one")]
chosen: list[str] = [""]  # the system that --system names


def system() -> Any:
    """The system in force; read only when a command needs it, for the commands of users must start fast."""
    from infra.admin import load
    from infra.app import CORE

    return load(chosen[0]) if chosen[0] else CORE


def configured(**given: Any) -> Settings:
    """The settings in force, with the log written as they say: JSON lines on stderr.

    Raises:
        Refused: SETTING.
    """
    found = settings(**given)
    level = logging.getLevelName(found.log_level.upper())
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for library in ("aiormq", "aio_pika", "uvicorn"):  # what matters of theirs, our own log says with its reason
        logging.getLogger(library).setLevel(logging.CRITICAL)
    return found


def run(work: Any) -> Any:
    """The result of a coroutine, on the faster loop where there is one."""
    if sys.implementation.name == "cpython":
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)


def known(given: list[str] | None, names: list[str], thing: str) -> None:
    """Raises typer.BadParameter for a name that is none of these."""
    for name in given or ():
        if name not in names:
            raise typer.BadParameter(f"there is no {thing} {name}; there are: {', '.join(names)}")
