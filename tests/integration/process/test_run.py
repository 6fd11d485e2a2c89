"""Whole processes: order of shutdown, signals, crashes, and error messages."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port

ROOT = Path(__file__).parents[3]

# Two services that say what happens to them. `inner` has a request in flight when the signal comes.
PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from faststream.nats import NatsRouter
from libs.process.run import run
from libs.process.service import RunningService, Service

MODE = sys.argv[1]

def say(text):
    print(text, flush=True)

@asynccontextmanager
async def outer(context):
    say("outer opens")
    yield RunningService()
    say("outer closes")

@asynccontextmanager
async def inner(context):
    say("inner opens")
    router = NatsRouter()

    @router.subscriber("ask")
    async def answer(text: str) -> str:
        say("work begins")
        await asyncio.sleep(1)
        say("work ends")
        return text

    async def asker():
        await asyncio.sleep(0.3)
        if MODE == "crash":
            raise ZeroDivisionError("a task of the service")
        await context.bus.broker.publish("now", "ask")

    if MODE == "slow start":
        say("waiting")
        await asyncio.sleep(60)
    async with asyncio.TaskGroup() as group:
        group.create_task(asker())
        yield RunningService(router)
        say("inner closes")

sys.exit(run(Service("inner", inner, needs=("outer",)), Service("outer", outer)))
"""


@contextmanager
def program(mode: str, nats_url: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "VEDETTE_NATS_URL": nats_url, "VEDETTE_HEALTH_PORT": "0", "PYTHONPATH": str(ROOT), **settings}
    words = [sys.executable, "-c", PROGRAM, mode]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], line: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    while line not in lines:
        text = process.stdout.readline()
        assert text, lines
        lines.append(text.strip())
    return lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_after_a_signal_work_in_flight_finishes_before_its_service_closes(nats_url: str, number: signal.Signals):
    with program("work", nats_url) as process:
        lines = read_until(process, "work begins")
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
        assert lines + out.splitlines() == [
            "outer opens",
            "inner opens",
            "work begins",
            "work ends",
            "inner closes",
            "outer closes",
        ]
        assert process.returncode == 0


def test_work_that_exceeds_the_grace_period_is_abandoned(nats_url: str):
    with program("work", nats_url, VEDETTE_SHUTDOWN_GRACE_S="0.1") as process:
        read_until(process, "work begins")
        process.terminate()
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "inner closes" in out
        assert "service.grace_period_exceeded" in err


def test_a_crash_in_a_service_ends_the_process_with_its_traceback(nats_url: str):
    with program("crash", nats_url) as process:
        out, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "process.crashed" in err
        assert "ZeroDivisionError: a task of the service" in err
        assert "outer opens" in out


def test_a_signal_during_the_start_cancels_it(nats_url: str):
    with program("slow start", nats_url) as process:
        read_until(process, "waiting")
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_a_second_signal_stops_at_once(nats_url: str):
    with program("work", nats_url) as process:
        read_until(process, "work begins")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "process.stopping" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 1


def vedette(*words: str, **settings: str) -> tuple[int, str, str]:
    env = {name: text for name, text in os.environ.items() if not name.startswith("VEDETTE_")}
    env |= {"PYTHONPATH": str(ROOT), **settings}
    command = [sys.executable, "-m", "services", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=50, cwd=ROOT, check=False)
    return done.returncode, done.stdout, done.stderr


def stderr_message(error: str) -> str:
    """Returns the error message; more than one line is a failure."""
    (line,) = error.splitlines()
    assert line.startswith("vedette: ")
    return line.removeprefix("vedette: ")


def test_an_invalid_setting_is_a_one_line_error():
    code, _, error = vedette("run", "gateway", VEDETTE_PORT="many")
    assert code == 2
    assert stderr_message(error) == "VEDETTE_PORT is 'many', but must be a whole number from 0 to 65535"


def test_an_unknown_service_is_a_one_line_error():
    code, _, error = vedette("run", "nothing")
    assert code == 2
    assert stderr_message(error).startswith("there is no service 'nothing'; there are ")


def test_a_port_in_use_is_reported_before_anything_starts(tmp_path: Path):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        code, _, error = vedette("up", "--data-dir", str(tmp_path / "data"), "--port", str(port))
    assert code == 1
    assert f"port {port} on 127.0.0.1 is taken" in stderr_message(error)
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_file_in_place_of_the_data_directory_is_a_one_line_error(tmp_path: Path):
    (tmp_path / "data").write_text("")
    code, _, error = vedette("up", "--data-dir", str(tmp_path / "data"))
    assert code == 1
    assert "is a file" in stderr_message(error)


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_an_invalid_option_is_a_usage_error(port: str):
    code, _, error = vedette("up", f"--port={port}")
    assert code == 2
    assert "is no port" in error


def test_an_invalid_target_is_a_usage_error():
    code, _, error = vedette("check", "gopher://example.org")
    assert code == 2
    assert "http://" in stderr_message(error)


def test_the_version():
    assert vedette("--version") == (0, "vedette 0.1.0\n", "")
