"""Which handler answers which request of the other rooms."""

from collections.abc import Awaitable, Callable
from typing import Any

from faststream.nats import NatsRouter

from libs.bus.bus import Bus
from libs.bus.rpc import serve
from libs.model import asset, requests
from libs.model.request import Request
from libs.process.service import Clock
from libs.store.pool import Store
from services.results.answering.assets import Assets
from services.results.answering.audit import Audit
from services.results.answering.history import History
from services.results.answering.keys import Keys
from services.results.answering.monitors import Monitors
from services.results.answering.refusing import refusing
from services.results.answering.resealing import Resealing
from services.results.answering.tenants import Tenants
from services.results.answering.terms import Terms

Handlers = dict[type[Request[Any]], Callable[[Any], Awaitable[Any]]]


def answer(router: NatsRouter, handlers: Handlers) -> None:
    """Adds a subscriber for every request to `router`."""
    for request, handler in handlers.items():
        serve(router, request, refusing(handler))


def handlers(store: Store, bus: Bus, clock: Clock, terms: Terms, on_commit: Callable[[], None]) -> Handlers:
    """Returns who answers what. `on_commit` is called when there may be something to publish."""
    monitors = Monitors(store, clock, terms, on_commit)
    assets = Assets(store, clock, terms, on_commit)
    resealing = Resealing(store, on_commit)
    history, audit = History(store, clock), Audit(store)
    tenants, keys = Tenants(store, clock), Keys(store, bus, clock, terms.quota)
    return {
        requests.CreateMonitor: monitors.create,
        requests.ChangeMonitor: monitors.change,
        requests.DeleteMonitor: monitors.delete,
        requests.GetMonitor: monitors.get,
        requests.ListMonitors: monitors.page,
        asset.CreateAsset: assets.create,
        asset.ListAssets: assets.page,
        asset.DeleteAsset: assets.delete,
        requests.ListSealed: resealing.page,
        requests.Reseal: resealing.replace,
        requests.ListResults: history.results,
        requests.ListTransitions: history.transitions,
        requests.GetUptime: history.uptime,
        requests.CreateKey: keys.create,
        requests.ListKeys: keys.listed,
        requests.DeleteKey: keys.delete,
        requests.Authenticate: keys.authenticate,
        requests.Bootstrap: tenants.bootstrap,
        requests.CreateTenant: tenants.create,
        requests.ChangeTenant: tenants.change,
        requests.GetTenant: tenants.get,
        requests.ListTenants: tenants.page,
        requests.ListAudit: audit.page,
    }
