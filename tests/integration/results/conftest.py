from collections.abc import AsyncIterator

import pytest

from tests.support.room import Room, open_room


@pytest.fixture
async def room(nats_url: str, postgres_dsn: str) -> AsyncIterator[Room]:
    async with open_room(nats_url, postgres_dsn) as room:
        yield room
