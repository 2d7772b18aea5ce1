"""Where an attempt comes from, how often it may be wrong, and that it is remembered when it was refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address, ip_network
from uuid import uuid4

from fastapi import Request

from domain.attempt import RecordAttempt
from domain.errors import Code, Refused
from gateway.ports import Principal, World

PASSING = frozenset(
    {Code.TOO_MANY_GUESSES, Code.DATABASE_AWAY, Code.BUS_AWAY, Code.DEADLINE}
)  # say nothing of the asker
NO_GUESS = PASSING | {Code.PROVIDER_AWAY, Code.NO_PROVIDER, Code.SCOPE, Code.PILOT_GONE, Code.BUSY}


def network(request: Request, v4: int, v6: int) -> str:
    """The network a request comes from, of so many bits."""
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return "unknown"
    return str(ip_network((address, v4 if address.version == 4 else v6), strict=False))


@asynccontextmanager
async def guessing(
    world: World, request: Request, what: str, vo: str = "", subject: str = "", of: str = ""
) -> AsyncIterator[None]:  # fmt: skip
    """Around something that could be guessed. Who was wrong too often lately has to wait, right or not.

    `of` is what the guess is for, where many who are right share an address with one who is wrong.

    Raises:
        Refused: TOO_MANY_GUESSES, or what the inside says, which is then an event.
    """
    source = f"{network(request, 32, 64)} {of}".strip()
    await world.identity.allowed(what, source)
    try:
        yield
    except Refused as refusal:
        if refusal.code not in NO_GUESS and await world.identity.wrong(what, source):
            await remember(world, request, what, refusal, vo, subject)
        raise


@asynccontextmanager
async def remembered(world: World, request: Request, what: str, vo: str = "", subject: str = "") -> AsyncIterator[None]:
    """Around something that is refused to people who are known: no guess, but an event."""
    try:
        yield
    except Refused as refusal:
        if refusal.code not in PASSING:
            await remember(world, request, what, refusal, vo, subject)
        raise


async def remember(world: World, request: Request, what: str, refusal: Refused, vo: str, subject: str = "") -> None:
    """Keep a refusal as an event: with the network it came from, and nothing that was shown."""
    told = RecordAttempt(uuid4(), what, refusal.code.slug, network(request, 24, 48), subject)
    with suppress(Refused):  # the refusal itself matters more
        if await world.identity.wrong(f"{what} told", network(request, 32, 64)):  # or strangers could fill the log
            here = vo if vo in world.identity.registries() else ""  # whoever made up a VO gets none for it
            await world.ask(Principal("gateway", what, here), [(uuid4(), told)])
