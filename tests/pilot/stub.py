"""A gateway for pilots in one thread: the contract, and every way in which a network breaks it."""

import hashlib
import io
import json
import ssl
import tarfile
import threading
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = dict[str, Any]
SECRET = "s3cr3t-of-this-pilot"
HEARTBEAT = 0.3


class Drop(Exception):
    """Close the connection without an answer."""


class Status(Exception):
    """Answer with this status."""

    def __init__(self, status: int, body: Json | None = None, **headers: str) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body or {}, headers


class Stub:
    """State behind the contract; `before` and `after` hold faults by call name, used up one at a time."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.calls: list[tuple[str, Json]] = []
        self.waiting: list[Json] = []
        self.offers: dict[str, Json | None] = {}
        self.reports: list[Json] = []
        self.refuse: dict[str, str] = {}  # report kind -> code
        self.kill: list[tuple[int, int]] = []
        self.objects: dict[str, bytes] = {}
        self.uploads: list[bytes] = []
        self.tokens = self.job_tokens = 0
        self.job_token = 1200  # seconds
        self.before: dict[str, list[Exception]] = {}
        self.after: dict[str, list[Exception]] = {}
        self.away = False
        self.scheme, self.port = "http", 0

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"gateway": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def encrypt(self, certificate: str) -> None:
        """Speak TLS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https"

    def give(
        self, job: int, executable: str = "/bin/true", inputs: list[Json] | None = None, **description: Any
    ) -> None:
        """Let a job wait for an offer."""
        match = {
            "job": job, "attempt": 1, "name": f"job {job}", "owner": "ada", "vo": "lhcb", "inputs": inputs or [],
            "description": {"executable": executable, **description}, "reports": {},
            "token": {"access_token": f"job-{job}-0", "expires_in": self.job_token},
        }  # fmt: skip
        with self.changed:
            self.waiting.append(match)
            self.changed.notify_all()

    def script(self, text: str) -> list[Json]:
        """An input sandbox with `run.sh`."""
        return [self.sandbox({"run.sh": "#!/bin/sh\n" + text})]

    def sandbox(self, files: dict[str, str]) -> Json:
        """An input sandbox with these files."""
        members = []
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            members.append((info, text.encode()))
        return self.archive(members)

    def archive(self, members: list[tuple[tarfile.TarInfo, bytes]]) -> Json:
        """An input sandbox of exactly these members."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:bz2") as tar:
            for info, content in members:
                tar.addfile(info, io.BytesIO(content))
        return self.stored(packed.getvalue())

    def stored(self, data: bytes) -> Json:
        """The entry of an input that is stored here."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.objects[sha256] = data
        return {"pfn": f"SB:S3|{sha256}", "url": f"{self.url}/objects/{sha256}", "sha256": sha256, "size": len(data)}

    def until(self, holds: Callable[[], Any], timeout: float = 30) -> None:
        """Wait until it holds; fails the test otherwise."""
        with self.changed:
            assert self.changed.wait_for(holds, timeout), (self.reports, self.calls[-3:])

    def named(self, name: str) -> list[Json]:
        """The bodies of all calls of this name."""
        return [body for call, body in self.calls if call == name]

    def kinds(self, job: int) -> list[str]:
        """The kinds of reports of a job, in the order of their arrival."""
        return [report["kind"] for report in self.reports if report["job"] == job]

    def final(self, job: int) -> Json:
        """Wait for the last report of a job."""
        found: list[Json] = []

        def arrived() -> bool:
            found[:] = [r for r in self.reports if r["job"] == job and r["kind"] in ("done", "failed")]
            return bool(found)

        self.until(arrived)
        assert len(found) == 1
        return found[0]

    def unpacked(self, upload: int = -1) -> dict[str, str]:
        """The files of an uploaded sandbox."""
        with tarfile.open(fileobj=io.BytesIO(self.uploads[upload]), mode="r:bz2") as tar:
            return {m.name: tar.extractfile(m).read().decode() for m in tar.getmembers() if m.isreg()}  # type: ignore[union-attr]

    # the contract

    def token(self, body: Json) -> Json:
        if body["secret"] != SECRET:
            raise Status(403, {"code": "pilot-secret"})
        self.tokens += 1
        return {
            "access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": 300, "pilot": body["stamp"],
            "heartbeat_seconds": HEARTBEAT,
        }  # fmt: skip

    def hello(self, body: Json) -> Json:
        return {"pilot": "p1", "heartbeat_seconds": HEARTBEAT}

    def offer(self, body: Json) -> Json:
        with self.changed:
            if self.offers.get(body["offer"]) is None:
                self.changed.wait_for(lambda: self.waiting, body["wait"])
                self.offers[body["offer"]] = self.waiting.pop(0) if self.waiting else None
            match = self.offers[body["offer"]]
        return {"match": match and {**match, "offer": body["offer"]}}

    def take_reports(self, body: Json) -> Json:
        with self.changed:
            results = [self._take(report) for report in body["reports"]]
        return {"results": results, "commands": [{"job": j, "attempt": a, "command": "kill"} for j, a in self.kill]}

    def _take(self, report: Json) -> Json:
        key = {name: report[name] for name in ("job", "attempt", "seq")}
        if report["kind"] in self.refuse:
            return {**key, "ok": False, "code": self.refuse[report["kind"]]}
        if not any(key.items() <= known.items() for known in self.reports):
            self.reports.append(report)
        return {**key, "ok": True, "code": None}

    def ask_sandbox(self, body: Json) -> Json:
        pfn = f"SB:S3|/{body['checksum']}.{body['format']}"
        if body["checksum"] in self.objects:
            return {"pfn": pfn, "url": None, "fields": {}}
        return {"pfn": pfn, "url": f"{self.url}/upload", "fields": {"key": body["checksum"], "policy": "p"}}

    def renew_job_token(self, body: Json) -> Json:
        self.job_tokens += 1
        return {"access_token": f"job-{body['job']}-{self.job_tokens}", "expires_in": self.job_token}

    def bye(self, body: Json) -> Json:
        return {}

    def answer(self, name: str, body: Json, authorization: str) -> Json:
        routes = {
            "token": self.token, "hello": self.hello, "offer": self.offer, "reports": self.take_reports,
            "sandbox": self.ask_sandbox, "bye": self.bye, "job-token": self.renew_job_token,
        }  # fmt: skip
        if self.away:
            raise Drop
        with self.changed:
            self.calls.append((name, body))
        faulty = name != "reports" or body["reports"]  # a mere sign of life does not use a fault up
        if faulty:
            self._fault(self.before, name)
        if name != "token" and authorization != f"Bearer token-{self.tokens}":
            raise Status(401, {"code": "no-token"})
        answer = routes[name](body)
        if faulty:
            self._fault(self.after, name)
        return answer

    def upload(self, content_type: str, data: bytes) -> None:
        self._fault(self.before, "upload")
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        parts = list(BytesParser(policy=HTTP).parsebytes(head + data).iter_parts())
        names = [part.get_param("name", header="content-disposition") for part in parts]
        assert names == ["key", "policy", "file"], names
        key, _, content = (bytes(part.get_payload(decode=True)) for part in parts)
        assert hashlib.sha256(content).hexdigest().encode() == key.strip()
        self.uploads.append(content)

    @staticmethod
    def _fault(faults: dict[str, list[Exception]], name: str) -> None:
        if faults.get(name):
            raise faults[name].pop(0)


class _Handler(BaseHTTPRequestHandler):
    gateway: Stub

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            if self.path == "/upload":
                self.gateway.upload(self.headers["Content-Type"], data)
                self._send(204, b"")
            else:
                name = self.path.removeprefix("/api/v1/pilot/")
                answer = self.gateway.answer(name, json.loads(data), self.headers.get("Authorization", ""))
                self._send(200, json.dumps(answer).encode())
        except Drop:
            self.close_connection = True
        except Status as status:
            self._send(status.status, json.dumps(status.body).encode(), status.headers)
        with self.gateway.changed:
            self.gateway.changed.notify_all()

    def handle(self) -> None:
        try:
            super().handle()
        except ssl.SSLError:
            pass  # the pilot does not trust us

    def do_GET(self) -> None:
        assert "Authorization" not in self.headers
        self._send(200, self.gateway.objects[self.path.removeprefix("/objects/")])

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the pilot hung up

    def log_message(self, format: str, *args: object) -> None: ...
