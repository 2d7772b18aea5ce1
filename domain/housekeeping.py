"""What is remembered for a while only."""

from datetime import timedelta

from domain.messages import Command

KEPT = timedelta(days=30)  # after which the same request is a new one


class Purge(Command, frozen=True):
    """Forget what nobody will ask for again."""

    TOPIC = "system.purge"
    KEYED = False  # a second arrival finds nothing to forget
