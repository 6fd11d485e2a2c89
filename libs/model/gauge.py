"""Prometheus gauge derived from a result."""

import msgspec


class Gauge(msgspec.Struct, frozen=True):
    """One series of a scrape: `name` and `labels` tell it apart, `documentation` is one line for people.

    Gauges of one name stand together and share their documentation.
    """

    name: str
    documentation: str
    value: float
    labels: dict[str, str] = {}
