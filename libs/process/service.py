"""A service is a value: a name, and how to open it. Any number of them run in one process on one bus."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime

from faststream.nats import NatsRouter

from libs.bus.connection import Bus
from libs.process.health import Health
from libs.process.settings import Settings

Clock = Callable[[], datetime]
ReadyCheck = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class ServiceContext:
    """What the process hands to each service that it opens."""

    bus: Bus
    settings: Settings
    health: Health
    clock: Clock


@dataclass(frozen=True)
class RunningService:
    """An open service: the router whose subscribers the process starts, and what must hold for it to be ready.

    A ready check raises when its thing is not ready.
    """

    router: NatsRouter | None = None
    ready_checks: Mapping[str, ReadyCheck] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """One service. `open` is entered once; leaving it lets go of everything that the service holds.

    `needs` names services that are opened earlier and closed later when they run in the same process. In another
    process they may come up at any time, so that it is an order of politeness, not of correctness.
    """

    name: str
    open: Callable[[ServiceContext], AbstractAsyncContextManager[RunningService]]
    needs: tuple[str, ...] = ()


def start_order(services: tuple[Service, ...]) -> list[Service]:
    """Returns the services so that each comes after those that it needs; otherwise by name."""
    waiting = {service.name: service for service in sorted(services, key=lambda service: service.name)}
    ordered: list[Service] = []
    while waiting:
        free = [each for each in waiting.values() if not waiting.keys() & set(each.needs)]
        if not free:
            raise ValueError(f"these services need each other: {', '.join(waiting)}")
        ordered.append(waiting.pop(free[0].name))
    return ordered
