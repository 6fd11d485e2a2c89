"""Runs these tests on uvloop, as in production, and on asyncio's own loop."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    del config
    factories = {"uvloop": uvloop.new_event_loop}
    return factories if "ten_thousand" in item.name else factories | {"asyncio": asyncio.new_event_loop}
