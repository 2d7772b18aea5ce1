"""The front of the command side: a service takes the commands that no single aggregate decides; all others pass."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from domain.errors import Code, Refused
from infra.bus.interface import RequestHandler
from infra.bus.messages import Outcome, Request

Service = Callable[[Request], Awaitable[Outcome]]


class Front:
    """Services by topic, before the dispatcher. A service may be asked the same thing again, and then has no effect."""

    def __init__(self, decide: RequestHandler, services: Mapping[str, Service]) -> None:
        self.decide = decide
        self.services = services

    async def __call__(self, requests: Sequence[Request]) -> list[Outcome]:
        """The outcomes, in order; raises what the dispatcher raises."""
        plain = [request for request in requests if request.topic not in self.services]
        decided = iter(await self.decide(plain) if plain else ())
        return [next(decided) if one.topic not in self.services else await self._served(one) for one in requests]

    async def _served(self, request: Request) -> Outcome:
        try:
            return await self.services[request.topic](request)
        except Refused as refusal:
            if refusal.code is Code.DATABASE_AWAY:
                raise
            return Outcome(request.id, False, refusal.code.slug, refusal.parameters)
