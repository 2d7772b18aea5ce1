"""Have the bytes of a dropped replica removed where they lie."""

from uuid import UUID

from domain.data.names import file_stream
from domain.messages import Command


class ClearStorage(Command, frozen=True):
    """Remove the bytes, then record that they are gone, or why they are not."""

    TOPIC = "storage.clear"
    KEYED = False
    vo: str
    lfn: str
    se: str

    @property
    def stream(self) -> UUID:
        return file_stream(self.lfn)
