"""What a route may ask of the world: decide commands, read rows, follow a history, move objects, know who asks."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Protocol
from uuid import UUID

from fastapi import Depends, Request
from msgspec import Struct
from sqlalchemy import Select

from domain.errors import Refused
from domain.matching import Offer, Queue
from domain.messages import Command, Event, Recorded
from domain.schema import Configuration
from domain.why import Explanation
from gateway.data.places import Storages
from gateway.objects import Objects
from projections.audit import Sought

if TYPE_CHECKING:
    from gateway.identity import Identity

Row = Mapping[str, Any]


class Principal(Struct, frozen=True):
    """Who asks.

    user     `subject` is the pseudonym of (VO, issuer, sub), `sub` what the token shows to clients: `vo:sub`
    service  a client of this installation: `subject` is its name
    pilot    `subject` is its stamp, `incarnation` its process
    job      on its owner's behalf: `subject` is the owner, `job`, `attempt` and `pilot` say which
    """

    kind: str  # "user", "service", "pilot" or "job"
    subject: str
    vo: str
    name: str = ""
    group: str = ""
    rights: frozenset[str] = frozenset()
    token: str = ""  # the id of the credential, never the credential
    incarnation: int = 0
    sub: str = ""
    session: str = ""  # of a user who logged in
    job: int = 0
    attempt: int = 0
    pilot: str = ""
    until: int = 0  # the end of the token, in seconds since 1970

    @property
    def actor(self) -> str:
        """As events name it."""
        return f"{self.kind}:{self.subject}"


class Answer(NamedTuple):
    """What became of one command: its stream's version, or the refusal. `received` counts how often it has come."""

    id: UUID
    version: int = 0
    refusal: Refused | None = None
    received: int = 1
    told: Mapping[str, Any] = {}  # what a service says besides


class Reservation(NamedTuple):
    """Job numbers for one submission; `repeated` when the same submission had got them before."""

    first: int
    jobs: int
    repeated: bool


class Given(NamedTuple):
    """A match: job 0 when nothing came."""

    job: int
    attempt: int


class World(Protocol):
    """Everything outside the gateway. Calls raise Refused: BUS_AWAY, DATABASE_AWAY or DEADLINE where they can."""

    objects: Objects
    identity: "Identity"
    storages: Storages

    async def ask(self, who: Principal, commands: Sequence[tuple[UUID, Command]], vo: str = "") -> list[Answer]:
        """Have commands decided; each comes with its id, which makes a repetition harmless. Answers in order."""

    async def read(self, query: Select[Any]) -> list[Row]:
        """Rows of a view."""

    async def history(self, log: str, stream: UUID, upto: datetime | None = None) -> list[Recorded[Event]]:
        """One stream, opened for reading by people."""

    async def recent(self, vo: str, after: int, limit: int) -> list[Recorded[Event]]:
        """The newest events of a VO's jobs (`after` 0), or those after a position."""

    async def audit(self, sought: Sought, wait: float = 0) -> list[Recorded[Event]]:
        """Events of identities, in the order of the log; when there are none, wait so many seconds for the first."""

    def follow(self, vo: str) -> AsyncIterator[Recorded[Event]]:
        """Events of a VO as they are announced, until the caller stops listening."""

    async def body(self, digest: str) -> bytes:
        """An interned description; raises Refused(NOT_FOUND)."""

    async def keep_bodies(self, bodies: Mapping[str, bytes]) -> None:
        """Intern descriptions."""

    async def reserve(self, submission: UUID, vo: str, digest: str, count: int) -> Reservation:
        """Numbers for `count` jobs; the same submission id gets the same ones again.

        Raises:
            Refused: KEY_REUSED, the id came before with another content.
        """

    async def offer(self, offer: Offer, wait: float) -> Given:
        """Hold a pilot's offer until there is a job for it or `wait` seconds are over."""

    async def explain(self, queue: Queue) -> Explanation:
        """Why a task queue gets no pilots: obstacles with slots, what would open them, whose turn it is.

        Raises:
            Refused: DEADLINE, when no matcher answers.
        """

    async def offers(self, vo: str, status: str = "Running") -> list[tuple[Offer, datetime, dict[str, Any]]]:
        """What each pilot of a VO that is in this state offered last, when, and what came of it."""

    async def unknown(self, vo: str, pilot: str, attempts: Sequence[tuple[int, int]] = ()) -> None:
        """Note that a pilot speaks of attempts (of itself, when none are named) that nobody knows of."""

    def heard(self, stream: UUID, report: dict[str, Any] | None = None) -> None:
        """Note a sign of life."""

    async def last_heard(self, streams: Sequence[UUID]) -> dict[UUID, tuple[datetime, dict[str, Any]]]:
        """When these were heard of last, and what they said."""

    async def status(self) -> dict[str, Any]:
        """How the system is: bus, database, consumers and their lag, timers, dead letters, parked streams."""

    async def dead_letters(self, vo: str, limit: int = 100) -> list[Row]:
        """What of a VO could not be handled, newest first."""

    async def send_again(self, vo: str, letters: Sequence[UUID]) -> list[Answer]:
        """Send dead letters of a VO again; an answer each, in order."""

    def proved(self, vo: str, stamp: str, code: str = "") -> None:
        """Count that a pilot proved itself, or was refused with this code."""

    async def proofs(self, vo: str, stamp: str) -> list[Row]:
        """How often and when a pilot proved itself (code ''), and what it was refused."""

    def suspended(self, vo: str, subject: str = "", group: str = "", *, alone: bool = False) -> Refused | None:
        """Why a user of this group and VO must not go on, if something does; `alone`: only themselves count."""

    def configuration(self) -> Configuration:
        """The configuration in force: registry, operations and resources by VO."""

    def issue(self, who: Principal, seconds: int) -> str:
        """An access token for `who`."""

    def verify(self, token: str) -> Principal:
        """Who a token speaks for; raises Refused(NO_TOKEN)."""


async def world(request: Request) -> World:
    """The world that the application was made with. (Not async, it would cost every request a thread.)"""
    found: World = request.app.state.world
    return found


Outside = Annotated[World, Depends(world)]
