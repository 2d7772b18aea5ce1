"""Offers what is free to the gateway, and takes what it gives: one offer at a time, each settled exactly once.

An offer is on disk before it is sent. While its answer is unknown it is sent again under the same id, also by a pilot
that was started again, so that a match whose answer was lost is neither lost nor run twice.
"""

import json
import os
import threading
from typing import Any, Callable, Dict, Optional
from uuid import uuid4

from pilot.calls import GONE, Away, Denied, Gateway, Refused
from pilot.log import say

SPARE = 20.0  # seconds beyond the waiting time before a held request counts as lost

Offer = Dict[str, Any]


class Offering:
    """One thread. `need` gives the next offer or None, `take` gets a match, `end` a reason to stop the pilot."""

    def __init__(
        self,
        gateway: Gateway,
        path: str,
        need: Callable[[], Optional[Offer]],
        take: Callable[[Dict[str, Any]], None],
        end: Callable[[str], None],
    ) -> None:
        self._gateway, self._path = gateway, path
        self._need, self._take, self._end = need, take, end
        self._stop, self._change = threading.Event(), threading.Event()
        self._open: Optional[Offer] = _remembered(path)

    def unsettled(self) -> bool:
        """Whether there is an offer whose answer is not known."""
        return self._open is not None

    def changed(self) -> None:
        """There may be more to offer than before."""
        self._change.set()

    def run(self) -> None:
        """The life of the thread."""
        while not self._stop.is_set():
            if self._open is None:
                self._open = self._new()
            if self._open is None:
                self._change.wait(1.0)
                self._change.clear()
            else:
                self._settle(self._open)

    def finish(self) -> None:
        """Stop, and ask a last time about the offer whose answer is unknown: what it brought must not be forgotten."""
        self._stop.set()
        self._change.set()
        offer = self._open
        if offer is not None:
            try:
                self._answered(self._gateway.call("offer", dict(offer, wait=0), 15.0))
            except (Away, Refused) as error:
                say("offer-unsettled", offer=offer["offer"], detail=error)

    def _new(self) -> Optional[Offer]:
        need = self._need()
        if need is None:
            return None
        offer = dict(need, offer=str(uuid4()))
        _remember(self._path, offer)
        return offer

    def _settle(self, offer: Offer) -> None:
        """Send it until it is answered."""
        pauses = self._gateway.pauses()
        while self._open is not None and not self._stop.is_set():
            try:
                self._answered(self._gateway.call("offer", offer, offer["wait"] + SPARE))
                return
            except (Away, Denied) as away:
                pause = pauses.next(getattr(away, "retry_after", None))
                say("gateway-away", call="offer", offer=offer["offer"], detail=away, pause=round(pause, 2))
            except Refused as refused:
                say("offer-refused", offer=offer["offer"], detail=refused)
                pause = self._gateway.heartbeat
                self._forget()
                if refused.code in GONE:
                    self._end("stopped")
            self._stop.wait(pause)

    def _answered(self, answer: Dict[str, Any]) -> None:
        try:
            if answer.get("match"):
                self._take(answer["match"])
        except (KeyError, TypeError, ValueError) as error:
            say("match-unreadable", detail="{}: {}".format(type(error).__name__, error))
        self._forget()

    def _forget(self) -> None:
        self._open = None
        try:
            os.unlink(self._path)
        except OSError:
            pass


def _remembered(path: str) -> Optional[Offer]:
    try:
        with open(path) as file:
            offer = json.load(file)
        return dict(offer, wait=0) if offer["offer"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(path: str, offer: Offer) -> None:
    try:
        with open(path + ".new", "w") as file:
            json.dump(offer, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".new", path)
    except OSError as error:
        say("offer-not-written", detail=error)
