"""A bus with all streams on a server of this test alone."""

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
    """The connection of another process."""
    async with Bus.open(nats_url, name="other") as opened:
        yield opened
