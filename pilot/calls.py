"""JSON over HTTP(S) to the gateway: token exchange and renewal, and retries with growing, jittered pauses."""

import http.client
import json
import random
import ssl
import threading
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Dict, Optional

from pilot.log import say

LATER = (408, 425, 429, 500, 502, 503, 504)  # answers that may be different next time
GONE = ("pilot-gone", "pilot-unknown")  # refusals that mean: nobody wants this pilot any more
LONGEST = 300.0  # seconds: what a server may ask us to wait
Json = Dict[str, Any]


class Away(Exception):
    """No usable answer: worth trying again, not before `retry_after` seconds if the server said so."""

    def __init__(self, detail: str, retry_after: Optional[float] = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Refused(Exception):
    """The server understood and said no: trying again does not help."""

    def __init__(self, status: int, code: str, detail: str = "") -> None:
        super().__init__("{} {} {}".format(status, code, detail).strip())
        self.status = status
        self.code = code


class Denied(Refused):
    """The gateway does not accept our secret."""


class Pauses:
    """Growing pauses, 1 s to 60 s for a heartbeat of 30 s; with jitter, so that pilots do not come back in step."""

    def __init__(self, heartbeat: Callable[[], float]) -> None:
        self._heartbeat, self._tries = heartbeat, 0

    def next(self, retry_after: Optional[float] = None) -> float:
        """Seconds until the next try."""
        beat = self._heartbeat()
        pause = min(2 * beat, beat / 30 * float(1 << min(self._tries, 30))) * random.uniform(0.5, 1.0)
        self._tries += 1
        return max(pause, min(retry_after or 0.0, LONGEST))


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows redirects of downloads only: a token must not travel to where a redirect points."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore
        if req.has_header("Authorization") or req.data is not None:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Gateway:
    """The gateway as one pilot sees it. Safe to use from several threads."""

    def __init__(
        self, url: str, vo: str, stamp: str, secret: str, incarnation: str, ca_file: Optional[str] = None
    ) -> None:
        self.url = url
        self.heartbeat = 30.0
        self._claim = {"vo": vo, "stamp": stamp, "secret": secret, "incarnation": incarnation}
        self._token, self._renew_at = "", 0.0
        self._lock = threading.Lock()
        context = ssl.create_default_context()
        if ca_file:
            context.load_verify_locations(ca_file)
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Straight())

    def holds(self, text: str) -> bool:
        """Whether a text carries the secret or the token: such a text never leaves the pilot."""
        return any(secret and secret in text for secret in (self._claim["secret"], self._token))

    def pauses(self) -> Pauses:
        """Pauses that fit the heartbeat, also when it changes."""
        return Pauses(lambda: self.heartbeat)

    def call(self, name: str, body: Json, timeout: float = 30.0) -> Json:
        """One try of POST /api/v1/pilot/NAME. Raises Away, Refused, Denied."""
        token = self._bearer()
        try:
            return self._post(name, body, timeout, token)
        except Refused as refused:
            if refused.status != 401:
                raise
        self._forget(token)
        return self._post(name, body, timeout, self._bearer())

    def insist(
        self,
        name: str,
        body: Json,
        seconds: float,
        stop: Optional[threading.Event] = None,
        call: Optional[Callable[[str, Json], Json]] = None,
    ) -> Json:
        """Call until there is an answer, for so many seconds or until told to stop. Raises Away, Refused, Denied."""
        pauses, end, stop = self.pauses(), time.monotonic() + seconds, stop or threading.Event()
        while True:
            try:
                return (call or self.call)(name, body)
            except Away as away:
                pause = pauses.next(away.retry_after)
                say("gateway-away", call=name, detail=away, pause=round(pause, 2))
                if time.monotonic() + pause > end or stop.wait(pause):
                    raise

    def open(self, request: urllib.request.Request, timeout: float) -> Any:
        """The open answer to any request. Raises Away and Refused like `call`."""
        try:
            return self._opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise _problem(error)
        except (OSError, http.client.HTTPException) as error:
            raise Away(_short(error))

    def for_job(self, token: str, name: str, body: Optional[Json], timeout: float = 300.0) -> Json:
        """One try of /api/v1/me/job/NAME with the token of a job; GET without a body. Raises Away, Refused."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": "Bearer " + token}
        data = None if body is None else json.dumps(body).encode()
        return self._answer(urllib.request.Request(self.url + "/api/v1/me/job/" + name, data, headers), timeout)

    def _post(self, name: str, body: Json, timeout: float, token: Optional[str] = None) -> Json:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = "Bearer " + token
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + "/api/v1/pilot/" + name, data, headers, method="POST")
        return self._answer(request, timeout)

    def _answer(self, request: urllib.request.Request, timeout: float) -> Json:
        with self.open(request, timeout) as answer:
            try:
                content = json.loads(answer.read().decode() or "{}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Away("unreadable answer: " + _short(error))
        if not isinstance(content, dict):
            raise Away("unreadable answer")
        return content

    def _bearer(self) -> str:
        with self._lock:
            if not self._token or time.monotonic() > self._renew_at:
                self._exchange()
            return self._token

    def _exchange(self) -> None:
        try:
            answer = self._post("token", self._claim, 30.0)
        except Refused as refused:
            raise Denied(refused.status, refused.code)
        try:
            self._renew_at = time.monotonic() + 0.7 * float(answer.get("expires_in", 300))
            self.heartbeat = float(answer.get("heartbeat_seconds", self.heartbeat))
            self._token = str(answer["access_token"])
        except (KeyError, TypeError, ValueError):
            raise Away("unreadable answer")

    def _forget(self, token: str) -> None:
        with self._lock:
            if self._token == token:
                self._token = ""


def _problem(error: urllib.error.HTTPError) -> Exception:
    if error.code in LATER:
        return Away("HTTP {}".format(error.code), _retry_after(error.headers.get("Retry-After")))
    try:
        problem = json.loads(error.read(65536).decode())
        return Refused(error.code, str(problem.get("code", "http")), str(problem.get("detail", "")))
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return Refused(error.code, "http")


def _retry_after(value: Optional[str]) -> Optional[float]:
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return None


def _short(error: BaseException) -> str:
    return "{}: {}".format(type(error).__name__, getattr(error, "reason", error))[:200]
