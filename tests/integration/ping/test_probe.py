import socket

from libs.model.outcome import Outcome, Reason, Status
from services.ping.probe import PingProbe
from services.ping.spec import PingSpec


async def probed(port: int) -> Outcome:
    async with PingProbe() as probe:
        return await probe(PingSpec(host="127.0.0.1", port=port), 2.0)


async def test_a_port_that_listens_is_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = await probed(server.getsockname()[1])
    assert (outcome.status, outcome.reason) == (Status.UP, Reason.OK)


async def test_a_port_that_nobody_listens_on_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    outcome = await probed(port)
    assert (outcome.status, outcome.reason) == (Status.DOWN, Reason.REFUSED)
