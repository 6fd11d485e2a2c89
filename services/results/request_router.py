"""Table of RPC requests and their handlers."""

from collections.abc import Awaitable, Callable
from typing import Any

from faststream.nats import NatsRouter

from libs.bus.connection import Bus
from libs.bus.rpc import serve_rpc
from libs.model import asset
from libs.model.requests import messages
from libs.model.requests.base import RpcRequest
from libs.process.service import Clock
from libs.store.core.pool import Store
from services.results.assets.asset_handlers import AssetHandlers
from services.results.error_mapping import map_store_errors
from services.results.monitors.history_handlers import HistoryHandlers
from services.results.monitors.monitor_handlers import MonitorHandlers
from services.results.monitors.reseal_handlers import ResealHandlers
from services.results.tenancy.audit_handlers import AuditHandlers
from services.results.tenancy.key_handlers import KeyHandlers
from services.results.tenancy.quotas import QuotaPolicy
from services.results.tenancy.rate_limit_handlers import RateLimitHandlers
from services.results.tenancy.tenant_handlers import TenantHandlers

RequestHandlers = dict[type[RpcRequest[Any]], Callable[[Any], Awaitable[Any]]]


def register_handlers(router: NatsRouter, handlers: RequestHandlers) -> None:
    """Adds a subscriber for every request to `router`."""
    for request, handler in handlers.items():
        serve_rpc(router, request, map_store_errors(handler))


def build_handlers(
    store: Store, bus: Bus, clock: Clock, policy: QuotaPolicy, on_commit: Callable[[], None]
) -> RequestHandlers:
    """Returns the handler of every request. `on_commit` is called after a commit that may have added messages."""
    monitors = MonitorHandlers(store, clock, policy, on_commit)
    assets = AssetHandlers(store, clock, policy, on_commit)
    resealing = ResealHandlers(store, on_commit)
    history, audit = HistoryHandlers(store, clock), AuditHandlers(store)
    tenants, keys = TenantHandlers(store, clock), KeyHandlers(store, bus, clock, policy.quota)
    return {
        messages.CreateMonitor: monitors.create,
        messages.ChangeMonitor: monitors.change,
        messages.DeleteMonitor: monitors.delete,
        messages.GetMonitor: monitors.get,
        messages.ListMonitors: monitors.page,
        asset.CreateAsset: assets.create,
        asset.ListAssets: assets.page,
        asset.DeleteAsset: assets.delete,
        messages.ListSealedSpecs: resealing.page,
        messages.ReplaceSealedSpec: resealing.replace,
        messages.ListResults: history.results,
        messages.ListTransitions: history.transitions,
        messages.GetUptime: history.uptime,
        messages.CreateKey: keys.create,
        messages.ListKeys: keys.list_all,
        messages.DeleteKey: keys.delete,
        messages.Authenticate: keys.authenticate,
        messages.TakeTokens: RateLimitHandlers(store).take_tokens,
        messages.Bootstrap: tenants.bootstrap,
        messages.CreateTenant: tenants.create,
        messages.ChangeTenant: tenants.change,
        messages.GetTenant: tenants.get,
        messages.ListTenants: tenants.page,
        messages.ListAudit: audit.page,
    }
