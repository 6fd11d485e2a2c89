"""Registry of Prometheus metrics. The only module, with `exposition.py`, that imports prometheus_client."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()

# From a loopback response to the longest timeout.
DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

_registry = CollectorRegistry()
_metrics: dict[str, MetricWrapperBase] = {}
ProcessCollector(registry=_registry)
PlatformCollector(registry=_registry)


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """Returns the counter of this name, created at the first call."""
    return _get_or_create(name, Counter, lambda: Counter(name, documentation, labels, registry=_registry))


def gauge(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    """Returns the gauge of this name, created at the first call."""
    return _get_or_create(name, Gauge, lambda: Gauge(name, documentation, labels, registry=_registry))


def histogram(
    name: str, documentation: str, labels: Sequence[str] = (), buckets: Sequence[float] = DURATION_BUCKETS_S
) -> Histogram:
    """Returns the histogram of this name, created at the first call."""
    return _get_or_create(
        name, Histogram, lambda: Histogram(name, documentation, labels, buckets=buckets, registry=_registry)
    )


def render() -> bytes:
    """Returns all metrics in the Prometheus text format."""
    return generate_latest(_registry)


def _get_or_create(name: str, kind: type[M], make: Callable[[], M]) -> M:
    found = _metrics.get(name)
    if found is None:
        found = _metrics[name] = make()
    if not isinstance(found, kind):
        raise TypeError(f"the metric {name} is a {type(found).__name__} already")
    return found
