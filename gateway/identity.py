"""What the login routes ask of the world: flows, identity providers, tokens, and a limit to guessing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from domain.membership import Person
from domain.registry import VoRegistry
from gateway.ports import Principal

PENDING, READY, USED = "pending", "ready", "used"


class Flow(Struct, frozen=True):
    """A login under way: a terminal's (`device`) or a browser's (`code`). Not a fact yet, so it is no event."""

    id: UUID
    kind: str
    vo: str
    group: str
    client: str
    expires: datetime
    properties: tuple[str, ...] = ()
    status: str = PENDING
    user_code: str = ""
    redirect: str = ""  # of the client that gets the code, and what it wants to hear with it
    client_state: str = ""
    challenge: str = ""
    person: Person | None = None


class Service(Struct, frozen=True):
    """A client with a secret of its own, as the environment names it; the secret only as its sha256."""

    vo: str
    group: str
    secret_sha256: str


class Grant(Struct, frozen=True):
    """Tokens to be given out."""

    who: Principal
    session: UUID
    generation: int
    until: datetime
    legacy: bool = False


class Identity(Protocol):
    """Everything about logins that is outside of the routes."""

    @property
    def issuer(self) -> str:
        """As tokens name it."""

    @property
    def redirects(self) -> frozenset[str]:
        """Where codes may be sent to."""

    @property
    def legacy_key(self) -> str:
        """The sha256 of the key of the legacy exchange; empty: there is none."""

    @property
    def grace(self) -> int:
        """Seconds in which the refresh token before the newest one is answered once more."""

    @property
    def session_seconds(self) -> int:
        """How long a login lasts, however often it is refreshed."""

    @property
    def url(self) -> str:
        """The public URL where one is set; else requests say it."""

    @property
    def services(self) -> Mapping[str, Service]:
        """Clients with secrets."""

    def registries(self) -> Mapping[str, VoRegistry]:
        """The VOs that work."""

    def public_keys(self) -> Sequence[dict[str, Any]]:
        """As a JWKS has them."""

    async def begin(self, flow: Flow, secret: str = "") -> None:
        """Keep a flow that begins; `secret` is what its terminal polls with."""

    async def by_user_code(self, code: str) -> Flow | None:
        """The flow that waits for this code to be typed."""

    async def by_secret(self, kind: str, secret: str) -> Flow | None:
        """The flow of a device code or an authorization code."""

    async def use(self, flow: Flow) -> bool:
        """Use a ready flow up; False when somebody was faster."""

    async def depart(self, flow: Flow, back: str) -> str:
        """Where the browser goes to log in; it comes back to `back`. Raises Refused(NO_PROVIDER, PROVIDER_AWAY)."""

    async def waiting(self, kind: str, state: str) -> Flow:
        """The flow that waits for a browser to come back with this state; raises Refused(GRANT)."""

    async def arrive(self, kind: str, state: str, code: str, issuer: str = "") -> tuple[Flow, str]:
        """The browser is back: the flow, which is ready now, and the authorization code of a browser's flow.

        `issuer` is who says that it sends the browser (RFC 9207), where that is said.

        Raises:
            Refused: GRANT for a state that is not ours, PROVIDER_AWAY, PROVIDER_REFUSED.
        """

    def access(self, grant: Grant) -> tuple[str, int]:
        """An access token, and how many seconds it is good for."""

    def refresh(self, grant: Grant) -> str:
        """The refresh token of this generation; the same one whenever it is asked for."""

    def presented(self, token: str, *, ended: bool = False) -> tuple[UUID, bool]:
        """The id of a refresh token, and whether it is of the legacy exchange.

        Raises:
            Refused: TOKEN_INVALID, saying what is wrong.
        """

    async def allowed(self, kind: str, source: str) -> None:
        """Raises Refused(TOO_MANY_GUESSES) when too many wrong ones came from there lately."""

    async def wrong(self, kind: str, source: str) -> bool:
        """Count a wrong one; whether it is still worth an event of its own."""

    def new_session(self) -> UUID:
        """The id of a session that begins now."""
