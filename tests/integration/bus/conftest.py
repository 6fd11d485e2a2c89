"""Fixtures: a bus with all streams on a nats-server of its own."""

from collections.abc import AsyncIterator

import pytest

from libs.bus import provisioning
from libs.bus.connection import Bus

RESULTS_BYTES = 64 * 1024 * 1024


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with Bus.open(nats_url, name="test") as opened:
        await provisioning.provision(opened, results_bytes_max=RESULTS_BYTES)
        yield opened


@pytest.fixture
async def other_bus(nats_url: str) -> AsyncIterator[Bus]:
    """A second connection, as of another process."""
    async with Bus.open(nats_url, name="other") as opened:
        yield opened
