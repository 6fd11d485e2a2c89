"""Which handler answers which request of the other rooms."""

from collections.abc import Awaitable, Callable
from typing import Any

from faststream.nats import NatsRouter

from libs.bus.bus import Bus
from libs.bus.rpc import serve
from libs.model import requests
from libs.process.service import Clock
from libs.store.pool import Store
from services.results.history import History
from services.results.keys import Keys
from services.results.monitors import Monitors
from services.results.refusing import refusing

Handlers = dict[type[requests.Request[Any]], Callable[[Any], Awaitable[Any]]]


def answer(router: NatsRouter, store: Store, bus: Bus, clock: Clock, shards: int) -> None:
    """Adds a subscriber for every request to `router`."""
    for request, handler in handlers(store, bus, clock, shards).items():
        serve(router, request, refusing(handler))


def handlers(store: Store, bus: Bus, clock: Clock, shards: int) -> Handlers:
    monitors, history, keys = Monitors(store, clock, shards), History(store, clock), Keys(store, bus, clock)
    return {
        requests.CreateMonitor: monitors.create,
        requests.ChangeMonitor: monitors.change,
        requests.DeleteMonitor: monitors.delete,
        requests.GetMonitor: monitors.get,
        requests.ListMonitors: monitors.page,
        requests.ListResults: history.results,
        requests.ListTransitions: history.transitions,
        requests.GetUptime: history.uptime,
        requests.CreateKey: keys.create,
        requests.ListKeys: keys.listed,
        requests.DeleteKey: keys.delete,
        requests.Bootstrap: keys.bootstrap,
        requests.Authenticate: keys.authenticate,
    }
