"""The OpenAPI document is complete and as strict as the decoder; the page that shows it is self-contained."""

import re
from typing import Any

import msgspec
import pytest

from libs.kinds.registry import kinds
from libs.model.interval import INTERVALS_S
from libs.model.monitor import MonitorView
from libs.model.tenancy import KeyCreated
from libs.sealing.sealer import Sealer
from services.gateway.context import GatewayContext
from services.gateway.dialects.native import schemas, tenants
from services.gateway.dialects.native.dialect import native_dialect
from services.gateway.dialects.native.docs_page import PAGE
from services.gateway.dialects.native.examples import EXAMPLES
from services.gateway.dialects.native.openapi import openapi_document
from services.gateway.dialects.native.problems import Problem

SHAPES = {
    **{name: getattr(schemas, name) for name in ("MonitorCreate", "MonitorPatch", "CheckCreate", "KeyCreate")},
    "TenantCreate": tenants.TenantCreate,
    "TenantPatch": tenants.TenantPatch,
    "MonitorView": MonitorView,
    "KeyCreated": KeyCreated,
    "Problem": Problem,
}
CHECKED = ("spec", "monitor_id")


@pytest.fixture(scope="module")
def described() -> Any:
    nobody: Any = None
    means = GatewayContext(
        bus=nobody, authenticator=nobody, rate_limiter=nobody, streams=nobody, clock=nobody, shards=1, sealer=Sealer([])
    )
    return msgspec.json.decode(openapi_document(native_dialect(means).router))


def refs(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(refs, node))
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(refs(child) for child in node.values()))
    return set()


def test_every_path_of_the_api_is_described(described: Any) -> None:
    assert described["openapi"].startswith("3.1")
    operations = {f"{method.upper()} {path}" for path, item in described["paths"].items() for method in item}
    assert operations == {
        *(f"{method} /api/v2/monitors" for method in ("GET", "POST")),
        *(f"{method} /api/v2/monitors/{{monitor_id}}" for method in ("GET", "PATCH", "DELETE")),
        *(f"GET /api/v2/monitors/{{monitor_id}}/{part}" for part in ("results", "uptime", "transitions")),
        *("POST /api/v2/checks", "GET /api/v2/results/stream"),
        *("GET /api/v2/keys", "POST /api/v2/keys", "DELETE /api/v2/keys/{key_id}", "GET /api/v2/me"),
        *("GET /api/v2/tenants", "POST /api/v2/tenants", "GET /api/v2/audit"),
        *(f"{method} /api/v2/tenants/{{tenant_id}}" for method in ("GET", "PATCH")),
        *(f"{method} /api/v2/tenants/{{tenant_id}}/keys" for method in ("GET", "POST")),
        *("DELETE /api/v2/tenants/{tenant_id}/keys/{key_id}", "GET /api/v2/tenants/{tenant_id}/audit"),
    }


def test_every_reference_leads_somewhere(described: Any) -> None:
    for ref in refs(described):
        node = described
        for part in ref.removeprefix("#/").split("/"):
            node = node[part]


def test_every_operation_documents_the_rate_limit(described: Any) -> None:
    operations = [operation for item in described["paths"].values() for operation in item.values()]
    assert {each["responses"]["429"]["$ref"] for each in operations} == {"#/components/responses/429"}
    assert "Retry-After" in described["components"]["responses"]["429"]["headers"]


def test_bodies_are_described_as_strictly_as_they_are_decoded(described: Any) -> None:
    schemas = described["components"]["schemas"]
    for name in ("MonitorCreate", "MonitorPatch", "CheckCreate", "KeyCreate", "TenantCreate", "TenantPatch"):
        assert schemas[name]["additionalProperties"] is False
        assert schemas[name]["examples"]
    assert schemas["MonitorCreate"]["properties"]["interval_s"]["enum"] == list(INTERVALS_S)
    assert schemas["MonitorCreate"]["required"] == ["name", "interval_s", "spec"]


def test_texts_are_described_as_strictly_as_they_are_read(described: Any) -> None:
    properties = described["components"]["schemas"]["MonitorCreate"]["properties"]
    assert not re.search(properties["name"]["pattern"], " \t")
    assert not re.search(properties["name"]["pattern"], "a\u2028b")
    assert re.search(properties["name"]["pattern"], " a name ")
    assert not re.search(properties["locations"]["items"]["pattern"], "a.b")
    assert not re.search(properties["labels"]["propertyNames"]["pattern"], "a:b")
    assert described["components"]["schemas"]["CheckCreate"]["oneOf"] == [{"required": [each]} for each in CHECKED]


def test_a_parameter_is_described_as_a_text_that_is_taken(described: Any) -> None:
    listed = described["paths"]["/api/v2/monitors"]["get"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in listed}
    assert schemas["kind"]["enum"] == list(kinds())
    assert schemas["state"]["enum"] == ["pending", "up", "degraded", "down", "unknown"]
    assert schemas["label"]["items"]["pattern"] == "[:=]"
    assert "null" not in str(schemas)
    uptime = described["paths"]["/api/v2/monitors/{monitor_id}/uptime"]["get"]["parameters"]
    assert [each["name"] for each in uptime if each["schema"].get("format") == "date-time"] == ["from", "to"]


def test_a_spec_is_a_union_discriminated_by_kind(described: Any) -> None:
    schemas = described["components"]["schemas"]
    mapping = schemas["Spec"]["discriminator"]["mapping"]
    assert set(mapping) == set(kinds())
    assert {each["$ref"] for each in schemas["Spec"]["anyOf"]} == set(mapping.values())
    for kind, ref in mapping.items():
        schema = schemas[ref.rpartition("/")[2]]
        assert schema["properties"]["kind"]["enum"] == [kind]
        assert "kind" in schema["required"]
    for name in ("MonitorCreate", "MonitorPatch", "CheckCreate", "MonitorView"):
        assert schemas[name]["properties"]["spec"]["$ref"] == "#/components/schemas/Spec"


def test_secrets_are_described_as_what_is_written_and_never_read(described: Any) -> None:
    schemas = described["components"]["schemas"]
    kept = {"$ref": "#/components/schemas/Kept"}
    for kind, shape in kinds().items():
        properties = schemas[schemas["Spec"]["discriminator"]["mapping"][kind].rpartition("/")[2]]["properties"]
        for name in shape.secret_options:
            assert kept in properties[name]["anyOf"]
            assert len(properties[name]["anyOf"]) > 1
            assert "Write-only" in properties[name]["description"]
        for name in shape.secret_maps:
            assert kept in properties[name]["additionalProperties"]["anyOf"]
    assert "secret" in schemas["HttpSpec"]["properties"]["headers"]["description"]


def test_tags_and_pages_have_readable_names(described: Any) -> None:
    names = [tag["name"] for tag in described["tags"]]
    assert names == ["Monitors", "Results", "Checks", "Keys", "Tenants", "Audit"]
    operations = [operation for item in described["paths"].values() for operation in item.values()]
    assert {tag for operation in operations for tag in operation["tags"]} == set(names)
    schemas = described["components"]["schemas"]
    pages = {"MonitorPage", "ResultPage", "TransitionPage", "KeyPage", "TenantPage", "AuditEntryPage"}
    assert {name for name in schemas if "Page" in name} == pages
    assert {schemas[name]["title"] for name in pages} == pages


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_one(name: str) -> None:
    msgspec.json.decode(msgspec.json.encode(EXAMPLES[name]), type=SHAPES[name])


def test_the_page_loads_nothing_from_elsewhere() -> None:
    text = PAGE.decode()
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", text)
    assert not re.search(r"https?://(?!\$)", text.replace("http://www.w3.org", ""))
    assert 'fetch("/api/v2/openapi.json")' in text
