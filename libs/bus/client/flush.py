"""Flush of everything written to the server, subscriptions included."""

from nats.aio.client import Client


async def flush_all(client: Client) -> None:
    """Returns when the server has processed every subscription made so far.

    One `flush` is not enough: the client writes its PING before the commands that it still buffers. These are written
    while the first PONG is awaited, so that the second PING follows them.
    """
    await client.flush()
    await client.flush()
