"""Consumers of one process are delivered the same envelopes, each on its own queue: every one is read once."""

from collections import OrderedDict

from infra.bus.messages import Envelope, read_envelope

ROOM = 16 << 20  # bytes of bodies that are remembered


class Reading:
    """The envelopes that were read lately, by the very bytes they came as; the ones not asked for longest go first."""

    def __init__(self, room: int = ROOM) -> None:
        self.room = room
        self._size = 0
        self._lately: OrderedDict[bytes, Envelope] = OrderedDict()

    def envelope(self, body: bytes) -> Envelope:
        """The envelope in a message; raises as `read_envelope`."""
        found = self._lately.get(body)
        if found is None:
            found = self._lately[body] = read_envelope(body)
            self._size += len(body)
            while self._size > self.room and len(self._lately) > 1:
                self._size -= len(self._lately.popitem(last=False)[0])
        else:
            self._lately.move_to_end(body)
        return found
