# What a person types. `./run RECIPE` brings everything that the recipes need.

set positional-arguments := true

uv_version := "0.13.9"

[private]
default:
    @just --list --unsorted

# start everything: servers, services, a tenant and its key (--help for options)
up *options:
    @exec vedette up "$@"

# run services by name against VEDETTE_NATS_URL and VEDETTE_POSTGRES_DSN
run +names:
    @exec vedette run "$@"

# format, lint, types and import contracts, then all tests on real servers
test *options: check
    exec pytest -n 2 --dist worksteal "$@"

# format, lint, types and import contracts, without changing anything
check:
    ruff format --check .
    ruff check .
    mypy
    lint-imports --no-logo

# format, and repair what lint can repair
fix:
    ruff check --fix --exit-zero .
    ruff format .

# measure checks per second, lateness and CPU per check, end to end
bench *options:
    @exec python -m tests.bench.end_to_end "$@"

# hold the http probe against blackbox_exporter on one nginx; both must be on the path
bench-blackbox *options:
    @exec python -m tests.bench.against_blackbox "$@"

# measure connects and conversations of kind port for each second of CPU
bench-port *options:
    @exec python -m tests.bench.port "$@"

# measure pings beside aioping and fping
bench-ping *options:
    @exec python -m tests.bench.ping "$@"

# make a new kind of monitor from a working template: services/NAME
new-kind name:
    @exec python deploy/new_kind.py "$@"

# write passwords, keys and the users of NATS for docker-compose.yml into deploy/secrets; for more LOCATIONS, too
secrets *locations:
    @python deploy/make_secrets.py "$@"

# hold docker-compose.yml and the Dockerfile against the services found by folder
compose-check:
    pytest -q tests/contract/test_containers.py
    @if docker compose version >/dev/null 2>&1; then docker compose config --quiet; else echo "docker compose is not here: its own check was left out"; fi

# write the table of settings into README.md
settings:
    python deploy/settings_table.py

# compile requirements.lock from pyproject.toml (needs the network)
lock *options:
    pip --disable-pip-version-check install --quiet uv=={{ uv_version }}
    uv pip compile pyproject.toml --extra up --group dev --universal --generate-hashes --no-emit-index-url \
        --no-emit-find-links --no-annotate --no-header --quiet --output-file requirements.lock "$@"
