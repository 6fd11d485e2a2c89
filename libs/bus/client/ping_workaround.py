"""Work-around for a nats-py defect: a cancelled flush ends the read loop of the client."""

from nats.aio.client import Client


def ignore_cancelled_pongs(client: Client) -> None:
    """Makes the client ignore a PONG whose `flush` was cancelled.

    In nats-py 2.16 a `flush` that is cancelled or times out leaves a cancelled future behind. The PONG then raises
    InvalidStateError in the client's read loop, which ends: the process receives nothing more, while the connection
    looks healthy, until the client's own pings stay unanswered (about 30 s with our settings).
    """

    async def process_pong() -> None:
        if not client._pongs:  # noqa: SLF001 - nats-py has no public hook
            return
        answered = client._pongs.pop(0)  # noqa: SLF001 - one for each PING sent, cancelled or not
        if not answered.done():
            answered.set_result(True)
        client._pongs_received += 1  # noqa: SLF001
        client._pings_outstanding = 0  # noqa: SLF001

    client._process_pong = process_pong  # type: ignore[method-assign]  # noqa: SLF001
