"""Who is it: access tokens that this installation issues and verifies, signed with Ed25519."""

import os
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from domain.errors import Code, Refused
from gateway.ports import Principal

ISSUER = "spinor"
ALGORITHM = "Ed25519"
REMEMBERED = 4096  # tokens whose signature need not be verified again
SHORTEST = 32  # characters of a secret that somebody sets


def installation_secret(given: str, data: Path) -> bytes:
    """The secret of an installation: the one given, or one made and kept (0600) below `data`.

    Raises:
        Refused: SETTING, the given one is too short to be one.
    """
    if given:
        if len(given) < SHORTEST:
            raise Refused(Code.SETTING, name="SPINOR_SECRET", problem=f"must have at least {SHORTEST} characters")
        return sha256(given.encode()).digest()
    path = data / "secret"
    try:
        data.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return sha256(path.read_bytes()).digest()


def derived(secret: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose."""
    return sha256(secret + b"/" + purpose.encode()).digest()


class Ring:
    """The keys that are believed: the first signs, the second is published ahead, others have signed before."""

    def __init__(self, secret: bytes, numbers: Sequence[int] = (1, 2)) -> None:
        self.numbers = tuple(numbers)
        self.keys = [key_of(secret, number) for number in numbers]
        self._by_kid = {str(key.kid): key for key in self.keys}

    @property
    def signing(self) -> OKPKey:
        """The key that signs."""
        return self.keys[0]

    def public(self) -> list[dict[str, Any]]:
        """The public keys, as a JWKS has them."""
        more = {"alg": ALGORITHM, "use": "sig", "key_ops": ["verify"]}
        return [{**key.as_dict(private=False), "kid": key.kid, **more} for key in self.keys]

    def find(self, token: Any) -> OKPKey:
        """The key that a token names.

        Raises:
            UnknownKey: there is none, or the token says that it is something else than a JWT of ours.
        """
        header = token.headers()
        key = self._by_kid.get(str(header.get("kid", "")))
        if key is None or header.get("alg") != ALGORITHM or header.get("typ") != "JWT":
            raise UnknownKey(str(header.get("kid", ""))[:64])
        return key


class UnknownKey(ValueError):
    """A token names a key that this installation does not have."""


class Tokens:
    """Issues and verifies tokens. Every token has an end, an issuer and an id; `alg` is never the token's choice."""

    def __init__(self, secret: bytes, issuer: str = ISSUER) -> None:
        self.issuer = issuer
        self.ring = Ring(secret)
        self._secret = secret
        self._known: dict[str, Principal] = {}
        self._claims = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": issuer}, exp={"essential": True}, sub={"essential": True},
            jti={"essential": True},
        )  # fmt: skip
        self._end = jwt.JWTClaimsRegistry(exp={"essential": True})

    def turn(self, numbers: Sequence[int]) -> None:
        """Use these keys from now on."""
        if tuple(numbers) != self.ring.numbers:
            self.ring = Ring(self._secret, numbers)
            self._known.clear()

    def issue(self, who: Principal, seconds: int) -> str:
        """An access token for `who`, good for `seconds`."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "jti": str(uuid7()),
            "iat": now,
            "exp": now + seconds,
            "sub": who.sub or who.subject,
            "kind": who.kind,
            "vo": who.vo,
            "preferred_username": who.name,
            "dirac_group": who.group,
            "dirac_properties": sorted(who.rights),
            "dirac_policies": {},
        }
        more = {"subject": who.subject if who.sub else "", "incarnation": who.incarnation, "sid": who.session,
                "job": who.job, "attempt": who.attempt, "pilot": who.pilot}  # fmt: skip
        return self.sign(claims | {name: value for name, value in more.items() if value})

    def sign(self, claims: dict[str, Any]) -> str:
        """Claims as a signed token."""
        key = self.ring.signing
        return jwt.encode({"alg": ALGORITHM, "typ": "JWT", "kid": key.kid}, claims, key, algorithms=[ALGORITHM])

    def verify(self, token: str) -> Principal:
        """Who a token speaks for.

        Raises:
            Refused: NO_TOKEN, whatever is wrong with it; which part is wrong is nobody's business.
        """
        known = self._known.get(token)
        if known and known.until > time.time():
            return known
        try:
            claims = self.opened(token)
            self._claims.validate(claims)
            return self._remember(token, _principal(claims))
        except (JoseError, ValueError, KeyError, TypeError) as fault:
            raise Refused(Code.NO_TOKEN) from fault

    def _remember(self, token: str, who: Principal) -> Principal:
        """A token that was verified is not verified again: that costs more than the rest of a small request."""
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[token] = who
        return who

    def opened(self, token: str, *, ended: bool = False) -> dict[str, Any]:
        """The claims of a token that one of our keys signed; `ended`: also when its time is over.

        Raises:
            JoseError, ValueError: it is none, or its time is over. UnknownKey: it names a key that is not ours.
        """
        claims = jwt.decode(token, self.ring.find, algorithms=[ALGORITHM]).claims
        if not ended:
            self._end.validate(claims)
        return claims


def _principal(claims: dict[str, Any]) -> Principal:
    """The one a token speaks for; what is not of the right type is no claim of ours."""
    subject = claims.get("subject") or claims["sub"]
    who = {
        "kind": claims.get("kind", "user"), "subject": subject, "vo": claims["vo"],
        "name": claims["preferred_username"], "group": claims["dirac_group"], "rights": claims["dirac_properties"],
        "token": claims["jti"], "incarnation": claims.get("incarnation", 0),
        "sub": claims["sub"] if subject != claims["sub"] else "", "session": claims.get("sid", ""),
        "job": claims.get("job", 0), "attempt": claims.get("attempt", 0), "pilot": claims.get("pilot", ""),
        "until": int(claims["exp"]),
    }  # fmt: skip
    return msgspec.convert(who, Principal)


def uuid7(low_zeros: int = 0) -> UUID:
    """A UUID that begins with the time; with `low_zeros` bits free at its end, where a session numbers its tokens."""
    stamp, high = int(time.time() * 1000) & ((1 << 48) - 1), secrets.randbits(12)
    low = secrets.randbits(62 - low_zeros) << low_zeros
    return UUID(int=(stamp << 80) | (7 << 76) | (high << 64) | (2 << 62) | low)


def key_of(secret: bytes, number: int) -> OKPKey:
    """The key of this number. The first is the one that installations had before keys had numbers."""
    purpose = "tokens" if number == 1 else f"tokens/{number}"
    key = _okp(Ed25519PrivateKey.from_private_bytes(derived(secret, purpose)))
    key.ensure_kid()
    return key


def _okp(key: Ed25519PrivateKey) -> OKPKey:
    def text(raw: bytes) -> str:
        return urlsafe_b64encode(raw).rstrip(b"=").decode()

    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "d": text(private), "x": text(public)})
