"""Bad targets in a process of their own, so that what a test counts is the probe's.

`python -m tests.support.targets.bad` prints their ports as JSON and serves until its input ends.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator

from tests.support.targets import web
from tests.support.targets.web import moved, says, serving

OK = b"HTTP/1.1 200 OK\r\n"
BAD = (
    web.then_reset(b""),
    web.then_silence(b""),
    web.hangs_up,
    web.dripping(OK + b"\r\n", b"x", 0.05),
    web.endless(OK, b"a: b\r\n" * 99),
    web.endless(OK + b"\r\n", b"x" * 4096),
    says(b"\x00garbage" * 99),
    says(OK + b"Content-Length: 9\r\n\r\nfour"),
    says(moved("/")),
)


@contextlib.asynccontextmanager
async def bad_targets() -> AsyncIterator[list[int]]:
    """Yields the ports of all of them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


async def main() -> None:
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serving(handler)) for handler in BAD]
        print(json.dumps(ports), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
