"""Interface of a service: a name and a function that opens it. One process runs any number of services."""

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
    """Dependencies that the process passes to each service."""

    bus: Bus
    settings: Settings
    health: Health
    clock: Clock


@dataclass(frozen=True)
class RunningService:
    """An open service: the router whose subscribers the process starts, and its readiness checks.

    A readiness check raises while its subject is not ready.
    """

    router: NatsRouter | None = None
    ready_checks: Mapping[str, ReadyCheck] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """A service. `open` is entered once; on exit, the service releases all its resources.

    `needs` names services that open earlier and close later if they run in the same process. In other processes they
    may start at any time: no service depends on this order for correctness.
    """

    name: str
    open: Callable[[ServiceContext], AbstractAsyncContextManager[RunningService]]
    needs: tuple[str, ...] = ()


def start_order(services: tuple[Service, ...]) -> list[Service]:
    """Returns the services sorted so that each follows those it needs; otherwise by name."""
    waiting = {service.name: service for service in sorted(services, key=lambda service: service.name)}
    ordered: list[Service] = []
    while waiting:
        free = [each for each in waiting.values() if not waiting.keys() & set(each.needs)]
        if not free:
            raise ValueError(f"these services need each other: {', '.join(waiting)}")
        ordered.append(waiting.pop(free[0].name))
    return ordered
