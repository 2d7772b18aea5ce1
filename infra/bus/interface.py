"""What the rest of the system may ask of the bus, whichever implementation runs.

Delivery is at least once, in order per partition. The log is the truth: an envelope may be dropped (a consumer too
slow for its buffer, a purged queue), but never the newest of its partition, so that the next one a consumer gets shows
the gap in `previous`. Whenever the bus cannot know whether something was lost, it hands over an empty batch: a wake-up,
to look into the log.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from infra.bus.messages import DeadLetter, Envelope, Outcome, Request, WireEvent

EnvelopeHandler = Callable[[Sequence[Envelope]], Awaitable[None]]
ServiceHandler = Callable[[bytes], Awaitable[bytes]]
Stop = Callable[[], Awaitable[None]]
RequestHandler = Callable[[Sequence[Request]], Awaitable[list[Outcome]]]
Burial = Callable[[DeadLetter], Awaitable[None]]

EVENTS_AT_ONCE = 2_000  # events one call of an envelope handler gets, give or take one envelope a partition
REQUESTS_AT_ONCE = 2_000  # commands one call of a request handler gets, give or take one message


class Tuning(Struct, frozen=True):
    """Times in seconds: `delays` before each further try of a command that broke, `pause` before a failed batch is
    handed over again in place (doubled each time, up to 30), `patience` with a broker that is away, `grace` for running
    handlers at the end, `reconnect` between looks for a lost broker."""

    delays: tuple[float, ...] = (1.0, 5.0, 30.0, 300.0)
    pause: float = 0.2
    patience: float = 5.0
    grace: float = 10.0
    reconnect: float = 0.5


class Health(Struct, frozen=True):
    """How the bus is. `waiting` counts messages by queue; `detail` says what is wrong, or the server's version."""

    kind: str
    up: bool
    detail: str = ""
    waiting: dict[str, int] = {}


class Bus(Protocol):
    """Envelopes to consumers, commands to the command side, answers back."""

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Hand envelopes to the consumers of their log; returns when the broker has them safe.

        Raises:
            Refused: BUS_AWAY, after a bounded time; the caller tries again (all of them, order matters).
        """

    async def announce(self, events: Sequence[WireEvent]) -> None:
        """Tell other programs; raises as `publish`."""

    async def subscribe(self, consumer: str, log: str, partitions: int, handle: EnvelopeHandler) -> Stop:
        """Have `handle` called with what has gathered for this consumer, in order per partition.

        Of several subscribers of one name, one gets a partition; another takes over when that one goes. An empty
        batch means: something may have been missed, look into the log. A partition whose envelopes make `handle`
        raise gets the same ones again after a growing pause; the others go on. Await the result to unsubscribe.
        """

    async def call(self, service: str, body: bytes, timeout: float) -> bytes:  # noqa: ASYNC109
        """The answer of whoever provides the service: a question that may be held for long, and may be lost.

        Raises:
            Refused: BUS_AWAY; DEADLINE, nobody answered within `timeout` seconds.
        """

    async def provide(self, service: str, handle: ServiceHandler) -> Stop:
        """Answer the calls of a service, many at a time. Await the result to withdraw.

        A call whose handler raises is not answered; its caller meets the deadline.
        """

    async def request(self, requests: Sequence[Request], timeout: float) -> list[Outcome]:  # noqa: ASYNC109
        """The answers, in the order of the commands, within `timeout` seconds.

        Raises:
            Refused: BUS_AWAY; DEADLINE (what became of the commands is then unknown: ask again with the same ids);
                TOO_LARGE.
        """

    async def send(self, requests: Sequence[Request]) -> None:
        """Leave commands with the bus; returns when they are safe there.

        Raises:
            Refused: BUS_AWAY, after a bounded time; TOO_LARGE.
        """

    async def serve(self, handle: RequestHandler) -> None:
        """Be (one of) the command side: `handle` decides what has gathered and answers in the same order.

        `handle` raising DATABASE_AWAY stops the intake until it works again and counts no try. Any other exception
        is narrowed down to the commands that cause it: their askers get `broken`; sent ones are tried again
        after each of the delays, then become dead letters.
        """

    async def lag(self, consumer: str, log: str, partitions: int) -> int:
        """Envelopes that wait for this consumer, without those in its hands; raises BUS_AWAY."""

    async def health(self) -> Health:
        """How the bus is; never raises."""

    async def close(self) -> None:
        """Stop consuming, let running handlers end, go."""
