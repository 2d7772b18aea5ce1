"""The connection of one command to the gateway: where it is, as whom, and what to do when it does not answer."""

import os
import re
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

import httpx

from domain.errors import Code, Refused
from gateway.cli.credentials import credentials_file, data_directory, fresh, kept

__all__ = ["Session", "connected", "credentials", "credentials_file", "data_directory", "refusal", "refused"]
PAUSES = (0.2, 0.6, 1.2)  # seconds before each further try
AGAIN = frozenset({502, 503, 504})
PATIENCE = httpx.Timeout(90, connect=5)
FRAME = frozenset({"type", "title", "status", "code", "detail", "who", "next", "state", "class", "retryable", "help"})


def credentials() -> tuple[str, str]:
    """(URL, token): SPINOR_URL and SPINOR_TOKEN, else what `spinor up` or `spinor login` wrote.

    A kept token only goes to the URL it was kept with.

    Raises:
        Refused: NO_INSTALLATION, nothing says where the gateway is.
    """
    url, token = os.environ.get("SPINOR_URL", "").rstrip("/"), os.environ.get("SPINOR_TOKEN", "")
    entry = kept(url)
    at = url or str(entry.get("url", "")).rstrip("/")
    if not at:
        raise Refused(Code.NO_INSTALLATION, path=str(credentials_file()))
    return at, token or (fresh(at, entry) if entry else "")


class Session:
    """Requests to one gateway. Every request may be sent again: those that change something carry a key."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self.http = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE, trust_env=not _here(url))
        except (httpx.InvalidURL, ValueError, UnicodeError) as error:
            raise Refused(Code.GATEWAY_AWAY, url=url, problem=str(error)) from None

    def get(self, path: str, /, **parameters: Any) -> Any:
        """The JSON at a path; parameters that are None or empty are left out."""
        given = {name: value for name, value in parameters.items() if value not in (None, "", [])}
        return _content(self.answer("GET", path, params=given))

    def post(self, path: str, body: Any, **parameters: Any) -> Any:
        """The JSON that answers a change. All tries carry the same key, so that it happens once."""
        keyed = {"Idempotency-Key": str(uuid4())}
        return _content(self.answer("POST", path, json=body, headers=keyed, params=parameters))

    def answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer to a request, which is tried again while the gateway is away or asks for it.

        Raises:
            Refused: what the gateway says, or GATEWAY_AWAY.
        """
        for pause in (*PAUSES, None):
            try:
                response = self.http.request(method, path, **request)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                if pause is None or not isinstance(error, httpx.TransportError) or _hopeless(error):
                    raise self.away(error) from None
            else:
                if pause is None or response.status_code not in AGAIN:
                    break
            time.sleep(pause)
        if not response.is_success and not response.is_redirect:
            raise refusal(response)
        return response

    def lines(
        self, path: str, headers: Mapping[str, str], silence: float, end_when_quiet: bool = False, **parameters: Any
    ) -> Generator[str]:
        """The lines of an answer that does not end, as they come, until nothing came for `silence` seconds.

        Raises:
            Refused: what the gateway says; GATEWAY_AWAY, also after the silence unless that is what ends it.
        """
        patient = httpx.Timeout(silence, connect=5)
        try:
            with self.http.stream("GET", path, params=parameters, headers=headers, timeout=patient) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response)
                yield from response.iter_lines()
        except httpx.TransportError as error:
            if not (end_when_quiet and isinstance(error, httpx.ReadTimeout)):
                raise self.away(error) from None

    def away(self, error: Exception) -> Refused:
        """The refusal for a gateway that cannot be reached."""
        problem = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
        return Refused(Code.GATEWAY_AWAY, url=self.url, problem=problem)


@contextmanager
def connected() -> Iterator[Session]:
    """A session with the credentials in force."""
    session = Session(*credentials())
    with session.http:
        try:
            yield session
        except httpx.TransportError as error:  # of a caller that uses `http` itself
            raise session.away(error) from None


def refusal(response: httpx.Response) -> Refused:
    """What an answer that is no success says; an answer of something else than a gateway is told as that."""
    try:
        return refused(response.json())
    except (ValueError, KeyError, TypeError, AttributeError):
        return _stranger(response)


def _content(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise _stranger(response) from None


def _stranger(response: httpx.Response) -> Refused:
    problem = f"something else does, with HTTP status {response.status_code}"
    return Refused(Code.GATEWAY_AWAY, url=str(response.url.copy_with(raw_path=b"/")), problem=problem)


def refused(told: Mapping[str, Any]) -> Refused:
    """A refusal that came as fields; one of a newer release keeps its own words."""
    code = Code.of(told["code"])
    if code is Code.BROKEN and told["code"] != Code.BROKEN.slug:
        return Refused(Code.EXTENSION, problem=told.get("detail", told["code"]), next=told.get("next", "spinor status"))
    parameters = {name: value for name, value in told.items() if name not in FRAME}
    if "state" in told:  # `status` belongs to HTTP there
        parameters["status"] = told["state"]
    return Refused(code, **parameters)


def _hopeless(error: Exception) -> bool:
    return isinstance(error, httpx.UnsupportedProtocol | httpx.ProxyError)


def _here(url: str) -> bool:
    """Whether the gateway is on this machine: then a proxy would only be in the way."""
    host = httpx.URL(url).host
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
