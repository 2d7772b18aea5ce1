"""A transformation goes on: its tasks are submitted, and what is to be done in parts is done, part by part."""

from collections.abc import Iterator

from domain.messages import Event, Later, Recorded
from domain.transformations.inputs import FillInputs, Inputs
from domain.transformations.names import transformation_stream
from domain.transformations.task import CancelTasks, PackInputs, Task
from domain.transformations.transformation import Transformation
from handlers.policy import BatchPolicy

PACKED_BY = (Inputs.Attached, Transformation.Started, Transformation.Draining, Transformation.Extended)
FILLED_BY = (Transformation.Started, Transformation.Extended)
policy = BatchPolicy("transformations_going_on", "transformations", (*PACKED_BY, Transformation.Cleaning, Task.Created),
                     __name__)  # fmt: skip


def parts(event: Recorded[Event]) -> Iterator[Later]:
    """What is to be done in parts because of an event: a timer that is due at once, and set again by each part."""
    facts = event.event
    if isinstance(facts, FILLED_BY):
        stream = transformation_stream(event.vo, facts.name)
        yield Later(stream, "fill", FillInputs(event.vo, facts.name), event.at)
    if isinstance(facts, PACKED_BY):
        stream = transformation_stream(event.vo, facts.name)
        yield Later(stream, "pack", PackInputs(event.vo, facts.name), event.at)
    if isinstance(facts, Transformation.Cleaning):
        stream = transformation_stream(event.vo, facts.name)
        yield Later(stream, "cancel", CancelTasks(event.vo, facts.name), event.at)
