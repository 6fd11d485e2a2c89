import pytest

from libs.bus.connection import Bus
from libs.bus.errors import BusError
from tests.support.ports import free_port


async def test_a_connect_error_names_the_servers_and_no_passwords() -> None:
    urls = ",".join(f"nats://me:hidden{number}@127.0.0.1:{free_port()}" for number in range(2))
    with pytest.raises(BusError, match=r"nats://127\.0\.0\.1") as caught:
        async with Bus.open(urls, name="test", connect_timeout_s=0.3):
            pass
    assert "hidden" not in str(caught.value)
