"""Waiting until the server has read everything that we wrote."""

from nats.aio.client import Client


async def flush_all(client: Client) -> None:
    """Returns when the server knows every subscription made so far.

    One `flush` is not enough: the client writes its PING past the commands that it still holds back.
    While the first answer travels these are written, so that the second PING is behind them.
    """
    await client.flush()
    await client.flush()
