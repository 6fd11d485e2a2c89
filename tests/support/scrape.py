"""Scrapes as Prometheus reads them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from prometheus_client.parser import text_string_to_metric_families

from tests.support.client import Answer, Api

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def probe(api: Api, target: str | None, headers: Mapping[str, str] | None = None, /, **query: Any) -> Answer:
    """Returns what GET /probe says, whatever its status."""
    asked = query if target is None else {"target": target, **query}
    return await api.ask("GET", f"/probe?{urlencode(asked)}", **(headers or {}))


def series(answer: Answer) -> Series:
    """Returns the series of a scrape that went well; every one must be a gauge with its help."""
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.body.decode()))
    assert all(family.type == "gauge" and family.documentation for family in families)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def plain(found: Series) -> dict[str, float]:
    """Returns the series without labels, by name."""
    return {name: value for (name, labels), value in found.items() if not labels}


def labels(found: Series, name: str) -> dict[str, str]:
    """Returns the labels of the only series of this name."""
    (own,) = (dict(labels) for each, labels in found if each == name)
    return own
