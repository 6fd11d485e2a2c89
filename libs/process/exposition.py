"""Prometheus text format for gauges that belong to a single request."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from libs.model.gauge import Gauge

CONTENT_TYPE: str = CONTENT_TYPE_PLAIN_0_0_4


def render_gauges(gauges: Iterable[Gauge]) -> bytes:
    """Returns the series, sorted by name, in text format 0.0.4, which every Prometheus version reads."""
    return generate_latest(_GaugeCollector(sorted(gauges, key=lambda gauge: gauge.name)))


class _GaugeCollector(Collector):
    """Collector of one response's gauges, separate from the metrics of this process."""

    def __init__(self, gauges: Sequence[Gauge]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, group in itertools.groupby(self._gauges, key=lambda gauge: gauge.name):
            gauges = list(group)
            labels = list(gauges[0].labels)
            family = GaugeMetricFamily(name, gauges[0].documentation, labels=labels)
            for gauge in gauges:
                family.add_metric([gauge.labels[label] for label in labels], gauge.value)
            yield family
