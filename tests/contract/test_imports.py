"""The import contracts of pyproject.toml hold, and each of them bites."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPTIONS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

# A file, an import that must not be there, and the contract that says so.
BROKEN = [
    ("libs/process/logs.py", "import services.http.spec", "Services use libs, never the other way round"),
    ("libs/bus/client/message.py", "import libs.process.settings", "Rooms of libs import downwards only"),
    ("libs/store/core/errors.py", "import libs.bus.errors", "Rooms of libs import downwards only"),
    ("libs/model/ids.py", "import libs.net.sockets", "Rooms of libs import downwards only"),
    ("libs/process/logs.py", "import libs.prober.check_runner", "Rooms of libs import downwards only"),
    ("libs/attic/__init__.py", "import libs.model.ids", "Rooms of libs import downwards only"),
    ("services/gateway/web/query_guard.py", "import services.http.spec", "No service imports another"),
    ("services/http/spec.py", "import libs.net.resolver", "A spec is pure data and reaches only libs.model"),
    ("services/http/spec.py", "import asyncio", "A spec is pure data and reaches only libs.model"),
    ("libs/model/ids.py", "import structlog", "The model knows msgspec and nothing else"),
    ("services/results/__main__.py", "import nats.js", "Only libs.bus knows nats"),
    ("libs/store/core/errors.py", "import faststream", "FastStream is seen by the bus"),
    ("services/results/__main__.py", "import asyncpg", "Only libs.store knows asyncpg"),
    ("services/http/probe.py", "import aiodns", "Only libs.net knows aiodns"),
    (
        "services/http/probe.py",
        "import cryptography",
        "Only libs.net, libs.sealing and the tokens of NATS know cryptography",
    ),
    (
        "services/results/__main__.py",
        "import libs.sealing.sealer",
        "Only the gateway, the probers and the operator hold sealers",
    ),
    ("libs/process/http_server.py", "import litestar", "Only services.gateway knows Litestar"),
    ("services/http/probe.py", "import OpenSSL", "Only libs.net knows pyOpenSSL"),
    ("services/gateway/app.py", "import uvicorn", "Only libs.process knows uvicorn and the Prometheus client"),
    ("libs/net/sockets.py", "import httptools", "Only services.http knows httptools and h2"),
    ("libs/net/sockets.py", "import h2.connection", "Only services.http knows httptools and h2"),
    ("services/gateway/web/query_guard.py", "import re2", "Only kinds with patterns of their own know re2"),
    ("services/gateway/web/query_guard.py", "import brotli", "Only services.http knows brotli and zstd"),
    ("libs/net/sockets.py", "import aioping", "Only services.ping knows aioping"),
]


def linted(root: Path) -> tuple[int, str]:
    command = [
        str(Path(sys.executable).with_name("lint-imports")),
        "--no-cache",
        "--config",
        str(root / "pyproject.toml"),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for folder in ("libs", "services"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_all_contracts_hold():
    code, said = linted(ROOT)
    assert code == 0, said


def test_every_contract_has_a_case_that_breaks_it():
    names = {contract["name"] for contract in OPTIONS["contracts"]}
    assert {name for name in names if any(name.startswith(expected) for _, _, expected in BROKEN)} == names


@pytest.mark.parametrize(("file", "statement", "contract"), BROKEN)
def test_a_broken_import_is_caught(copied: Path, file: str, statement: str, contract: str):
    path = copied / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + f"\n{statement}\n")
    code, said = linted(copied)
    assert code == 1, said
    broken = [line for line in said.splitlines() if line.startswith(contract) and " BROKEN" in line]
    assert broken, said


def test_a_spec_may_reach_no_room_but_the_model():
    """The list of forbidden rooms is written out; a new room must be added to it."""
    (contract,) = (each for each in OPTIONS["contracts"] if each["name"].startswith("A spec"))
    rooms = {f"libs.{path.parent.name}" for path in (ROOT / "libs").glob("*/__init__.py")}
    assert rooms - {"libs.model"} <= set(contract["forbidden_modules"])
