"""The gateway as a process part: the application on uvicorn, on a socket that is bound before anything else starts."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import APIRouter
from sqlalchemy.ext.asyncio import create_async_engine

from domain.errors import Code, Refused
from domain.limits import Limits
from gateway.app import create
from gateway.documents import messages
from gateway.objects import Objects, routes
from infra.bus.asyncapi import document
from infra.bus.asyncapi_page import page
from infra.guarded import Guarded
from infra.identity import RuntimeIdentity
from infra.keys import Keys
from infra.objects.local import LocalObjects
from infra.objects.s3 import Endpoint, S3Objects
from infra.runtime import Runtime
from infra.sandbox_removal import Removal
from infra.settings import Settings
from infra.storage.elements import OpenedStorages
from infra.tokens import ISSUER, Tokens, derived, installation_secret
from infra.waiting import end
from infra.world import RuntimeWorld

GRACE = 2  # seconds that open requests get at the end; held offers are asked again by their pilots


def listen(settings: Settings) -> tuple[socket.socket, str]:
    """The socket of the gateway and its public URL.

    Raises:
        Refused: ADDRESS_TAKEN.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as fault:
        listener.close()
        problem = fault.strerror or str(fault)
        raise Refused(Code.ADDRESS_TAKEN, host=settings.host, port=settings.port, problem=problem) from None
    listener.listen(1024)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.tls_certificate else "http"
    return listener, settings.url or f"{scheme}://{host}:{listener.getsockname()[1]}"


def secured(settings: Settings) -> dict[str, Any]:
    """What the server needs for TLS, and to believe a proxy.

    Raises:
        Refused: SETTING, a file is missing, cannot be read, or the key does not belong to the certificate.
    """
    proxies = [each.strip() for each in settings.behind_proxy.split(",") if each.strip()]
    more: dict[str, Any] = {"proxy_headers": bool(proxies), "forwarded_allow_ips": proxies}
    if settings.tls_certificate is None and settings.tls_key is None:
        return more
    if settings.tls_certificate is None or settings.tls_key is None:
        raise Refused(Code.SETTING, name="SPINOR_TLS_KEY", problem="certificate and key belong together")
    if settings.tls_key.exists() and settings.tls_key.stat().st_mode & 0o077:
        raise Refused(Code.SETTING, name="SPINOR_TLS_KEY", problem="others can read it: chmod 600")
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as fault:
        problem = f"{settings.tls_certificate}: {fault.strerror or fault}"
        raise Refused(Code.SETTING, name="SPINOR_TLS_CERTIFICATE", problem=problem) from None
    return more | {"ssl_certfile": str(settings.tls_certificate), "ssl_keyfile": str(settings.tls_key)}


def permitted(runtime: Runtime) -> None:
    """Whether this process may listen where it wants to.

    Raises:
        Refused: SETTING: it is not loopback while a VO has nothing but the development identity.
    """
    host, registry = runtime.settings.host, runtime.configuration.current.registry
    alone = [vo for vo, found in registry.items() if found.idp is None]
    if not loopback(host) and (alone or not registry):
        vos = ", ".join(alone) or "no VO"
        problem = f"the development identity may only listen on loopback, and {vos} has no identity provider"
        raise Refused(Code.SETTING, name="SPINOR_HOST", problem=problem)


def permitted_origins(settings: Settings) -> list[str]:
    """The web applications elsewhere that may ask.

    Raises:
        Refused: SETTING; one is no origin, or stands for everybody: tokens would be read by any page.
    """
    origins = settings.origins.split()
    for each in origins:
        parts = urlsplit(each)
        if parts.scheme not in ("http", "https") or each != f"{parts.scheme}://{parts.netloc}" or "*" in each:
            problem = f"{each} is no origin, expected for example https://portal.example.org"
            raise Refused(Code.SETTING, name="SPINOR_ORIGINS", problem=problem)
    return origins


def loopback(host: str) -> bool:
    """Whether nobody but this machine can reach the address."""
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


@asynccontextmanager
async def gateway(runtime: Runtime, listener: socket.socket, url: str) -> AsyncIterator[RuntimeWorld]:
    """Serve HTTP on the socket as long as the context lasts."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=runtime.connect, pool_size=runtime.settings.pool, max_overflow=4
    )
    secret = installation_secret(runtime.settings.secret.get_secret_value(), runtime.settings.data)
    storages = OpenedStorages(runtime.elements, derived(secret, "storage"), url)
    objects, router = _objects(runtime.settings, secret, url)
    tokens = Tokens(secret, runtime.settings.url or ISSUER)
    keys = Keys(runtime, tokens)
    await keys.load()
    identity = RuntimeIdentity(runtime, tokens, secret, url)
    world = RuntimeWorld(runtime, engine, objects, tokens, identity, storages)
    routers = (*runtime.system.routers, _messages(runtime))
    limits, origins = Limits(max_jobs=runtime.settings.max_jobs), permitted_origins(runtime.settings)
    application = create(world, routers, router, limits, origins)
    config = uvicorn.Config(
        application, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=75, server_header=False, http=Guarded, ws="none", **secured(runtime.settings),
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # signals are the process's affair
    task = asyncio.create_task(server.serve(sockets=[listener]))
    following = asyncio.create_task(keys.run())
    removing = asyncio.create_task(Removal(runtime, objects).run())
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        yield world
    finally:
        world.close()
        server.should_exit = True
        await end([following, removing])
        await asyncio.gather(task, return_exceptions=True)
        listener.close()
        await identity.close()
        await engine.dispose()


def _messages(runtime: Runtime) -> APIRouter:
    """What other programs may say and hear on the bus of this installation."""
    system = runtime.system
    return messages(lambda: document(system.outside, system.events.values(), runtime.settings.bus), page)


def _objects(settings: Settings, secret: bytes, url: str) -> tuple[Objects, APIRouter | None]:
    if not settings.objects:
        store = LocalObjects(settings.data / "objects", derived(secret, "objects"), url)
        return store, routes(store)
    base, _, bucket = settings.objects.rpartition("/")
    keys = settings.objects_key.get_secret_value(), settings.objects_secret.get_secret_value()
    return S3Objects(Endpoint(base, *keys), bucket), None
