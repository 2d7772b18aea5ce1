"""A batch of inputs of a transformation: what was attached together. One event, and nothing ever follows it."""

from typing import Self
from uuid import UUID

from domain.messages import Aggregate, Command, Decision, Event, Origin, Recorded
from domain.transformations.names import batch_stream, transformation_stream

BATCH = 1000  # inputs of one event


class AttachInputs(Command, frozen=True):
    """Attach these; whoever asks has found that they are new to the transformation."""

    TOPIC = "inputs.attach"
    KEYED = False
    vo: str
    name: str
    batch: int
    lfns: tuple[str, ...]
    inputs: int  # claims to come: files times targets

    @property
    def stream(self) -> UUID:
        return batch_stream(self.vo, self.name, self.batch)


class AddInputs(Command, frozen=True):
    """Attach files by their names; each has its own result."""

    TOPIC = "transformation.add"
    KEYED = False
    vo: str
    name: str
    owner: str
    group: str
    lfns: tuple[str, ...]

    @property
    def stream(self) -> UUID:
        return transformation_stream(self.vo, self.name)


class FillInputs(Command, frozen=True):
    """Attach the files that are there already and fit the query: a page, from a place on."""

    TOPIC = "transformation.fill"
    KEYED = False
    vo: str
    name: str
    directory: UUID = UUID(int=0)
    after: str = ""

    @property
    def stream(self) -> UUID:
        return transformation_stream(self.vo, self.name)


class Inputs(Aggregate, frozen=True):
    """A batch."""

    TOPIC = "inputs"
    LOG = "transformations"

    attached: bool = False

    class Attached(Event, frozen=True):
        """These files are inputs of the transformation from now on."""

        TOPIC = "inputs.attached"
        name: str
        batch: int
        lfns: tuple[str, ...]
        inputs: int

    def attach(self, command: AttachInputs, origin: Origin) -> Decision:
        """Once."""
        if not self.attached:
            yield Inputs.Attached(command.name, command.batch, command.lfns, command.inputs)

    def evolve(self, event: Recorded[Event]) -> Self:
        """The batch after the event."""
        return type(self)(True)
