"""What clients look up first: endpoints, keys, VOs with their groups, whom to tell of security problems."""

from typing import Any

from fastapi import APIRouter, Depends, Request

from domain.registry import PROPERTIES
from gateway.ports import Outside
from gateway.rights import public

router = APIRouter(prefix="/.well-known", tags=[".well-known"], dependencies=[Depends(public)])
CLIENT = "myDIRACClientID"  # of everybody who comes without a secret
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
Json = dict[str, Any]


def base(request: Request, outside: Outside) -> str:
    """The address of this installation as its clients see it."""
    return outside.identity.url or str(request.base_url).rstrip("/")


@router.get("/openid-configuration")
async def openid_configuration(request: Request, outside: Outside) -> Json:
    """The endpoints of the authorization server."""
    at = f"{base(request, outside)}/api/auth"
    registries = outside.identity.registries()
    scopes = [f"vo:{vo}" for vo in registries]
    scopes += [f"group:{group}" for registry in registries.values() for group in registry.groups]
    return {
        "issuer": outside.identity.issuer,
        "token_endpoint": f"{at}/token",
        "userinfo_endpoint": f"{at}/userinfo",
        "authorization_endpoint": f"{at}/authorize",
        "device_authorization_endpoint": f"{at}/device",
        "revocation_endpoint": f"{at}/revoke",
        "jwks_uri": f"{base(request, outside)}/.well-known/jwks.json",
        "grant_types_supported": ["authorization_code", DEVICE, "refresh_token", "client_credentials"],
        "scopes_supported": scopes + [f"property:{each}" for each in PROPERTIES],
        "response_types_supported": ["code"],
        "token_endpoint_auth_signing_alg_values_supported": ["Ed25519"],
        "token_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
    }


@router.get("/jwks.json")
async def jwks(outside: Outside) -> Json:
    """The public keys: what signs now, what signs next, what has signed lately."""
    return {"keys": outside.identity.public_keys()}


@router.get("/dirac-metadata")
async def installation_metadata(outside: Outside) -> Json:
    """The VOs with their groups, and whom to ask."""
    vos = {}
    for vo, registry in outside.identity.registries().items():
        groups = {name: {"properties": list(group.properties)} for name, group in sorted(registry.groups.items())}
        support = registry.support.model_dump(include={"message", "webpage", "email"})
        vos[vo] = {"groups": groups, "support": support, "default_group": registry.default_group}
    return {"virtual_organizations": vos}


@router.get("/security.txt")
async def security_txt(outside: Outside) -> str:
    """Whom to tell of security problems."""
    contact = outside.configuration().systems.security_contact or "the operator of this installation"
    return f"Contact: {contact}\n"
