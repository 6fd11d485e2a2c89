"""These tests run on the loop of production and on that of the standard library, inside namespaces of their own."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from tests.support.netns import Namespace, inside, join, namespace

TRANSPORTS = ("raw", "datagram")
# What these look at is the network's doing more than the loop's.
UVLOOP_ONLY = {"test_bad_link.py", "test_errors.py", "test_netem.py"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    del config
    factories = {"uvloop": uvloop.new_event_loop}
    return factories if item.path.name in UVLOOP_ONLY else factories | {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="module")
def here() -> Iterator[Namespace]:
    """The prober's machine."""
    with namespace("here") as made:
        made.allow_datagrams()
        yield made


@pytest.fixture(scope="module")
def there(here: Namespace) -> Iterator[Namespace]:
    """A neighbour: 10.70.0.2 and fd70::2, also 10.70.0.3 and fd70::3."""
    with namespace("there") as made:
        join(here, made, 70)
        made.run("ip addr add 10.70.0.3/24 dev v70r")
        made.run("ip addr add fd70::3/64 dev v70r nodad")
        yield made


@pytest.fixture(params=TRANSPORTS)
def way(request: pytest.FixtureRequest, here: Namespace) -> Iterator[str]:
    """Puts the test inside `here`, with and without CAP_NET_RAW."""
    with inside(here, request.param):
        yield request.param
