"""Giving out tokens: to whom, for how long; and ending what was given."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from domain.errors import Code, Refused
from domain.membership import LONGEST, Person, Wish, rights, wish
from domain.registry import VoRegistry
from domain.session import EndSession, OpenSession
from domain.values import subject
from gateway.identity import Grant
from gateway.ports import Principal, Row, World
from gateway.rights import MANAGERS
from projections import sessions

BUILT_IN = "spinor"  # the issuer of the development identity
AT_ONCE = 1000
Json = dict[str, Any]


def wanted(world: World, scope: str) -> Wish:
    """What a scope asks for.

    Raises:
        Refused: SCOPE; VO_BROKEN.
    """
    try:
        return wish(scope, world.identity.registries())
    except Refused:
        for word in scope[:LONGEST].split():
            readable(world, word.removeprefix("vo:"))
        raise


def readable(world: World, vo: str) -> None:
    """Strangers are not told what is wrong with a configuration, only that it is."""
    if vo and vo in world.configuration().broken:
        raise Refused(
            Code.VO_BROKEN, vo=vo, field=f"/registry/{vo}", problem="its administrators are told what is wrong"
        )


def registry_of(world: World, vo: str) -> VoRegistry:
    """What is known of a VO.

    Raises:
        Refused: SCOPE, it is not known; VO_BROKEN, its configuration cannot be read.
    """
    readable(world, vo)
    found = world.identity.registries().get(vo)
    if found is None:
        raise Refused(Code.SCOPE, problem=f"VO {vo} is not known to this installation")
    return found


def principal(
    world: World, vo: str, who: Person, group: str, asked: Iterable[str] = (), session: UUID | None = None
) -> Principal:
    """Somebody in a group, with what that gives now.

    Raises:
        Refused: NOT_REGISTERED, NOT_MEMBER, PROPERTY_NOT_YOURS, SUSPENDED.
    """
    registry = registry_of(world, vo)
    issuer = registry.idp.issuer if registry.idp else BUILT_IN
    pseudonym = subject(vo, issuer, who.sub)
    manages = bool(MANAGERS & registry.properties(group))  # they alone may come in, to resume their group or VO
    if refusal := world.suspended(vo, pseudonym, group, alone=manages):
        raise refusal
    mine = rights(vo, registry, who, group, asked)
    return Principal(
        "user", pseudonym, vo, who.name, group, mine, sub=f"{vo}:{who.sub}", session=str(session or "")
    )  # fmt: skip


async def opened(
    world: World, who: Principal, person: Person, how: str, asked: Sequence[str] = (), client: str = "",
    seconds: int = 0,
) -> Grant:  # fmt: skip
    """A session for somebody who proved who they are."""
    session = UUID(who.session)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds or world.identity.session_seconds)
    command = OpenSession(
        session, how, who.subject, who.name, person.sub, who.group, until, person.groups, tuple(asked), client
    )  # fmt: skip
    (answer,) = await world.ask(who, [(uuid4(), command)])
    if answer.refusal:
        raise answer.refusal
    return Grant(who, session, 1, until, how == "legacy")


def tokens(world: World, grant: Grant, *, refreshable: bool = True) -> Json:
    """The answer of every flow."""
    access, seconds = world.identity.access(grant)
    told = {"access_token": access, "expires_in": seconds, "token_type": "Bearer"}
    return told | {"refresh_token": world.identity.refresh(grant)} if refreshable else told


async def end(world: World, by: Principal, rows: Iterable[Row], reason: str, generation: int = 0) -> int:
    """End these sessions; how many there were."""
    wanted = [row["session"] for row in rows]
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        for answer in await world.ask(by, [(uuid4(), EndSession(each, reason, generation)) for each in part]):
            if answer.refusal:
                raise answer.refusal
    return len(wanted)


async def end_all(
    world: World, by: Principal, vo: str, reason: str, *, subject: str = "", group: str = "", generation: int = 0
) -> int:  # fmt: skip
    """End every session of a VO, of one of its groups, or of one subject; how many there were."""
    count = 0
    while rows := await world.read(sessions.of_vo(vo, subject=subject, group=group, limit=AT_ONCE)):
        count += await end(world, by, rows, reason, generation)
    return count
