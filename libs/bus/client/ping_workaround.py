"""A client of NATS that stays awake although somebody stopped waiting for it."""

from nats.aio.client import Client


def ignore_cancelled_pongs(client: Client) -> None:
    """Makes the client take a PONG for which nobody waits any more.

    In nats-py 2.16 a `flush` whose caller is cancelled, or runs out of time, leaves a cancelled future behind. The PONG
    then raises InvalidStateError in the task that reads, which ends: the process hears nothing more, while its
    connection looks well, until the next pings of its own go unanswered (about 30 s here).
    """

    async def process_pong() -> None:
        if not client._pongs:  # noqa: SLF001 - there is no other way in
            return
        answered = client._pongs.pop(0)  # noqa: SLF001 - one for each PING that was sent, waited for or not
        if not answered.done():
            answered.set_result(True)
        client._pongs_received += 1  # noqa: SLF001
        client._pings_outstanding = 0  # noqa: SLF001

    client._process_pong = process_pong  # type: ignore[method-assign]  # noqa: SLF001
