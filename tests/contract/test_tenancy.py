"""Whose things a request is about is said in one place of the gateway, and in every query of the store."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
GATEWAY = ROOT / "services" / "gateway"

# Who may name a tenant, and why. A handler is never among them: it has a TenantSession.
NAMING = {
    "session.py": "the one place",
    "on_demand_checks.py": "makes the checks of the session",
    "spec_intake.py": "seals for the tenant of the session",
    "access/rate_limiter.py": "counts what is left of the buckets, before any handler",
    "app.py": "the line in the log",
    "dialects/native/tenants.py": "the path of an operator's route, taken by TenantSession.for_tenant",
    "dialects/native/openapi.py": "the path of an operator's route",
    "dialects/prometheus/credentials.py": "NOBODY, who has no tenant",
}
# Who may ask over the bus. `authenticator.py` and `rate_limiter.py` ask who somebody is, and whether there is room.
ASKING = {"session.py", "access/authenticator.py", "access/rate_limiter.py", "__main__.py"}

# Tables with things of tenants. What else is stored of a monitor is found through its row here.
OWNED = re.compile(r"\b(?:FROM|UPDATE|JOIN)\s+(monitors|keys|assets|audit)\b", re.IGNORECASE)
BY_TENANT = re.compile(r"\btenant_id\s*=\s*\$\d|\btenant_id\s*=\s*ANY\(\$\d")

# Modules that answer no request of a tenant: the pipeline's own work on all monitors.
PIPELINE = {"gaps", "rollups", "schedules", "tombstones", "snapshots"}
# What else is found without a tenant, and why.
UNOWNED = {
    "keys._AUTHENTICATE": "finds out who asks, by the SHA-256 of the key",
    "keys._MARK_USED": "of the key that _AUTHENTICATE found",
    "monitors._PAGE_SEALED": "for operators: sealed values of all tenants",
    "views.VIEW_QUERY": "of the page before it, which is one tenant's",
    "audit._DELETE_OLD": "the pipeline's own work, on all tenants",
    "keys._FILTER_VALID": "of connections at NATS, whose keys have been looked up before",
    "keys._GET_TENANT_ID": "finds out whose key the actor of a command bears",
    "keys._IS_OPERATOR": "of the key that asks, or is revoked",
    "keys._HAS_OTHER_OPERATOR": "for the installation: one operator must stay",
    **dict.fromkeys(
        ("tenants._SELECT", "tenants._GET", "tenants._GET_FOR_UPDATE", "tenants._GET_BY_NAME", "tenants._PAGE"),
        "tenants themselves, with how many monitors each has",
    ),
}


def modules() -> dict[str, str]:
    return {
        str(path.relative_to(GATEWAY)): path.read_text()
        for path in GATEWAY.rglob("*.py")
        if "__pycache__" not in str(path)
    }


def uses_bus(source: str) -> bool:
    """Tells whether a module takes `bus` out of something, or asks for a Bus."""
    nodes = list(ast.walk(ast.parse(source)))
    return any(isinstance(node, ast.Attribute) and node.attr in {"bus", "_bus"} for node in nodes)


def test_the_gateway_names_tenants_in_one_place() -> None:
    naming = {name for name, source in modules().items() if re.search(r"\b_?tenant_id\b", source)}
    assert naming - set(NAMING) == set(), "handlers ask through their TenantSession, which puts the tenant in"


def test_nobody_but_the_caller_asks_for_tenants() -> None:
    assert {name for name, source in modules().items() if uses_bus(source)} <= ASKING


def texts() -> Iterator[tuple[str, str]]:
    """Yields the name and the text of each SQL text in the store."""
    for path in sorted((ROOT / "libs" / "store").rglob("*.py")):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name, value in vars(module).items():
            if isinstance(value, str) and path.stem not in PIPELINE:
                yield f"{path.stem}.{name}", value
            if isinstance(value, tuple | list) and path.stem not in PIPELINE:
                yield from ((f"{path.stem}.{name}", each) for each in value if isinstance(each, str))


def test_every_query_about_things_of_tenants_names_the_tenant() -> None:
    owned = {name: text for name, text in texts() if OWNED.search(text)}
    assert len(owned) > 10
    unowned = {name for name, text in owned.items() if not BY_TENANT.search(text)}
    assert unowned == set(UNOWNED)


def test_no_query_hides_in_a_function() -> None:
    """SQL stands at the top of its module, where the test above sees it."""
    for path in sorted((ROOT / "libs" / "store").rglob("*.py")):
        inner = [
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        hidden = [
            each.value
            for function in inner
            for each in ast.walk(function)
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and OWNED.search(each.value)
        ]
        assert path.stem in PIPELINE or hidden == []
