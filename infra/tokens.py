"""Who is it: access tokens that this installation issues and verifies, signed with Ed25519."""

import os
import secrets
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from domain.errors import Code, Refused
from gateway.ports import Principal

ISSUER = "spinor"
ALGORITHM = "Ed25519"
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


class Tokens:
    """Issues and verifies tokens. Every token has an end, an issuer and an id; `alg` is never the token's choice."""

    def __init__(self, secret: bytes) -> None:
        self._key = _okp(Ed25519PrivateKey.from_private_bytes(derived(secret, "tokens")))
        self._claims = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER}, exp={"essential": True}, sub={"essential": True}
        )

    def issue(self, who: Principal, seconds: int) -> str:
        """An access token for `who`, good for `seconds`."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "jti": secrets.token_hex(16),
            "iat": now,
            "exp": now + seconds,
            "sub": who.subject,
            "kind": who.kind,
            "vo": who.vo,
            "preferred_username": who.name,
            "dirac_group": who.group,
            "dirac_properties": sorted(who.rights),
        }
        if who.incarnation:
            claims["incarnation"] = who.incarnation
        return jwt.encode({"alg": ALGORITHM, "typ": "JWT"}, claims, self._key, algorithms=[ALGORITHM])

    def verify(self, token: str) -> Principal:
        """Who a token speaks for.

        Raises:
            Refused: NO_TOKEN, whatever is wrong with it; which part is wrong is nobody's business.
        """
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
            self._claims.validate(claims)
            return Principal(
                kind=claims["kind"],
                subject=claims["sub"],
                vo=claims["vo"],
                name=claims["preferred_username"],
                group=claims["dirac_group"],
                rights=frozenset(claims["dirac_properties"]),
                token=claims["jti"],
                incarnation=claims.get("incarnation", 0),
            )
        except (JoseError, ValueError, KeyError, TypeError) as fault:
            raise Refused(Code.NO_TOKEN) from fault


def _okp(key: Ed25519PrivateKey) -> OKPKey:
    def text(raw: bytes) -> str:
        return urlsafe_b64encode(raw).rstrip(b"=").decode()

    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "d": text(private), "x": text(public)})
