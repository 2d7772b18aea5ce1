"""The credentials of this account, one entry a gateway: read, kept (0600, whole or not at all), refreshed in time."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from platformdirs import user_data_path

EARLY = 120  # seconds before its end an access token is refreshed
CLIENT = "myDIRACClientID"
Entry = dict[str, Any]


def data_directory() -> Path:
    """Where `spinor up` keeps its data, and with them the credentials for the commands."""
    given = os.environ.get("SPINOR_DATA")
    return Path(given) if given else user_data_path("spinor")


def credentials_file() -> Path:
    """Where the URL and the token are kept."""
    return data_directory() / "credentials.json"


def kept(url: str = "") -> Entry:
    """What is kept for a gateway, or for the one that was used last; empty when there is nothing."""
    try:
        found = json.loads(credentials_file().read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    if not url or str(found.get("url", "")).rstrip("/") == url:
        return found
    others = found.get("others", {})
    entry = others.get(url, {}) if isinstance(others, dict) else {}
    return entry if isinstance(entry, dict) else {}


def keep(entry: Mapping[str, Any]) -> None:
    """Keep an entry as the one that was used last; those of other gateways stay."""
    before = kept()
    others = {**before.get("others", {})}
    if before.get("url"):
        others[before["url"]] = {name: value for name, value in before.items() if name != "others"}
    others.pop(entry["url"], None)
    _write({**entry, "others": others} if others else dict(entry))


def forget(url: str) -> None:
    """Keep nothing for this gateway any more."""
    before = kept()
    others = {at: entry for at, entry in before.get("others", {}).items() if at != url}
    if before.get("url") != url:
        _write({**before, "others": others})
    elif others:
        last, entry = others.popitem()
        _write({**entry, "url": last, "others": others})
    else:
        credentials_file().unlink(missing_ok=True)


def fresh(url: str, entry: Entry) -> str:
    """The access token of an entry, refreshed if its end is near. Of two processes, one refreshes and both use it."""
    if not _due(entry):
        return str(entry.get("token", ""))
    with locked():
        entry = kept(url) or entry
        if _due(entry):
            entry = {**entry, "request": entry.get("request") or str(uuid4())}
            _write_entry(url, entry)  # before it is sent: whoever goes on after us asks the same thing again
            if newer := _refreshed(url, entry):
                entry = {**entry, **newer, "request": ""}
                _write_entry(url, entry)
    return str(entry.get("token", ""))


@contextmanager
def locked() -> Iterator[None]:
    """Alone with the file, among all processes of this account."""
    path = credentials_file().with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def entry_of(url: str, tokens: Mapping[str, Any], **more: Any) -> Entry:
    """What to keep of the answer of a login or a refresh."""
    end = int(time.time()) + int(tokens["expires_in"])
    return {"url": url, "token": tokens["access_token"], "refresh": tokens["refresh_token"], "expires": end, **more}


def _due(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("refresh")) and float(entry.get("expires", 0)) - time.time() < EARLY


def _refreshed(url: str, entry: Mapping[str, Any]) -> Entry | None:
    """New tokens; None when there are none to be had now: then the gateway says what is wrong with the old ones.

    The request has an id: when its answer is lost, the same answer is got again. It must not follow from the token, or
    a thief of the token could ask the same thing, and both would share the login without anybody noticing.
    """
    token = str(entry["refresh"])
    form = {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": token}
    headers = {"x-ms-client-request-id": str(entry["request"])}
    for _ in range(2):
        try:
            answer = httpx.post(f"{url}/api/auth/token", data=form, headers=headers, timeout=30)
        except httpx.TransportError:
            continue
        return entry_of(url, answer.json()) if answer.status_code == 200 else None
    return None


def _write_entry(url: str, entry: Entry) -> None:
    """Put an entry back where it was."""
    whole = kept()
    if whole.get("url") == url or not whole:
        _write({**whole, **entry})
    else:
        _write({**whole, "others": {**whole.get("others", {}), url: entry}})


def _write(found: Mapping[str, Any]) -> None:
    """Only this account may read the file, from the moment it exists; it is replaced as a whole."""
    path = credentials_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(found, file)
    new.replace(path)
