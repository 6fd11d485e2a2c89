"""Output of `vedette check` for a terminal, a pipe and a program."""

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.targets.web import page, routes, serving

ROOT = Path(__file__).parents[3]
PAGE_503 = page(b"no database", "503 No\x1b[2J", "Set-Cookie: sid=1\r\n")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(routes({"/": page(), "/no": PAGE_503})) as port:
        yield f"http://127.0.0.1:{port}"


async def check(*words: str, stdout: int = asyncio.subprocess.PIPE, **env: str) -> tuple[int | None, str, str]:
    """Returns the exit code, stdout and stderr."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith(("VEDETTE_", "NO_COLOR"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "check", *words),
        env=plain | {"PYTHONPATH": str(ROOT), "TERM": "xterm", **env},
        cwd=ROOT,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    return process.returncode, (out or b"").decode(), error.decode()


async def check_in_terminal(*words: str, **env: str) -> str:
    ours, theirs = pty.openpty()
    try:
        await check(*words, stdout=theirs, **env)
        return os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


async def test_a_page_that_is_up(url: str) -> None:
    code, out, error = await check(f"{url}/")
    assert (code, error) == (0, "")
    assert out.startswith(f"up  ok  {url}/  ")
    assert "first words" not in out
    assert "\x1b" not in out


async def test_a_page_that_is_down_shows_its_trail(url: str) -> None:
    code, out, error = await check(f"{url}/no")
    assert (code, error) == (1, "")
    assert out.startswith(f"down  status_unexpected  {url}/no  ")
    trail = [line.strip() for line in out.partition("    first words\n")[2].partition("\n\n")[0].splitlines()]
    told = ["| HTTP/1.1 503 No\\x1b[2J", "| Content-Length: 11", "| Set-Cookie: [redacted]", "|", "| no database"]
    assert trail == told


async def test_a_program_gets_the_trail_too(url: str) -> None:
    code, out, _ = await check(f"{url}/no", "--json")
    assert code == 1
    assert json.loads(out)["hops"][0]["said"].endswith("\n\nno database")


async def test_colors_are_used_only_on_terminals_that_support_them(url: str) -> None:
    assert "\x1b[1;31mdown\x1b[0m" in await check_in_terminal(f"{url}/no")
    assert "\x1b" not in await check_in_terminal(f"{url}/no", NO_COLOR="1")
    assert "\x1b" not in await check_in_terminal(f"{url}/no", TERM="dumb")


@pytest.mark.parametrize("words", [(), ("--json",)])
async def test_a_closed_pipe_is_not_an_error(url: str, words: tuple[str, ...]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        code, _, error = await check(f"{url}/", *words, stdout=theirs)
    finally:
        os.close(theirs)
    assert (code, error) == (0, "")
