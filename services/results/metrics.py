"""Prometheus metrics of the results service."""

from libs.process import metrics

_BATCH_BUCKETS = (1, 3, 10, 30, 100, 300, 1000)


class ResultsMetrics:
    """Handles of the metrics. All instances share the metrics, which are registered by name."""

    def __init__(self) -> None:
        self.ingested = metrics.counter("vedette_results_ingested_total", "Results stored", ["status"])
        self.repeated = metrics.counter("vedette_results_repeated_total", "Results that were stored before")
        self.dropped = metrics.counter("vedette_results_dropped_total", "Results of monitors that are deleted")
        self.dead_lettered = metrics.counter("vedette_results_dead_lettered_total", "Results that could not be stored")
        self.missed = metrics.counter("vedette_ticks_missed_total", "Ticks recorded as missed, without any result")
        self.state_changes = metrics.counter("vedette_transitions_total", "Changes of monitors' states", ["status"])
        self.lag_s = metrics.gauge("vedette_ingest_lag_seconds", "Age of the newest result of the last batch")
        self.outbox = metrics.gauge("vedette_outbox_messages", "Messages that wait to be published")
        self.published = metrics.counter("vedette_schedules_published_total", "Schedules published to NATS")
        self._batch_size = metrics.histogram("vedette_ingest_batch_results", "Results in a batch", (), _BATCH_BUCKETS)
        self._batch_s = metrics.histogram("vedette_ingest_batch_seconds", "Time from a batch to its acknowledgement")

    def observe_batch(self, size: int, duration_s: float) -> None:
        self._batch_size.observe(size)
        self._batch_s.observe(duration_s)
