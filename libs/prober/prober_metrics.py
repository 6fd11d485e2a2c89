"""Prometheus metrics of a prober."""

from libs.model.check import Result
from libs.model.outcome import Status
from libs.process import metrics

LATENESS_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class ProberMetrics:
    """The metrics of one kind, with their labels resolved once."""

    def __init__(self, kind: str) -> None:
        checks = metrics.counter("vedette_checks_total", "Checks by outcome.", ["kind", "status"])
        duration = metrics.histogram("vedette_check_duration_seconds", "Duration of probes.", ["kind"])
        lateness = metrics.histogram(
            "vedette_check_lateness_seconds",
            "Time from the tick to the start of its check.",
            ["kind"],
            LATENESS_BUCKETS_S,
        )
        in_flight = metrics.gauge("vedette_checks_in_flight", "Checks being run or published.", ["kind"])
        unpublished = metrics.counter(
            "vedette_checks_unpublished_total", "Results that could not be published.", ["kind"]
        )
        dead_lettered = metrics.counter(
            "vedette_checks_dead_lettered_total", "Checks that could not be decoded.", ["kind"]
        )
        self._checks = {status: checks.labels(kind, status.value) for status in Status}
        self._duration = duration.labels(kind)
        self.lateness = lateness.labels(kind)
        self.in_flight = in_flight.labels(kind)
        self.unpublished = unpublished.labels(kind)
        self.dead_lettered = dead_lettered.labels(kind)

    def record_result(self, result: Result) -> None:
        self._checks[result.status].inc()
        if result.status is not Status.MISSED:
            self._duration.observe(result.duration_s)
