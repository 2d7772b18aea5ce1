"""The streams of transformations. One stream for what a transformation is, one a task, one a batch of inputs.

A transformation of a million files has a stream of a few events, which is all that a decision about it loads; its
inputs came in streams of one event a batch, numbered, and each task has a stream of its own. The number is the key:
two that would make the same batch or task meet at the first version of one stream.
"""

from uuid import UUID, uuid5

from domain.values import NAMES


def transformation_stream(vo: str, name: str) -> UUID:
    """The stream of a transformation."""
    return uuid5(NAMES, f"transformation/{vo}/{name}")


def task_stream(vo: str, name: str, task: int) -> UUID:
    """The stream of one of its tasks."""
    return uuid5(NAMES, f"task/{vo}/{name}/{task}")


def batch_stream(vo: str, name: str, batch: int) -> UUID:
    """The stream of a batch of its inputs."""
    return uuid5(NAMES, f"inputs/{vo}/{name}/{batch}")
