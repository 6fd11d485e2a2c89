"""OpenAPI 3.1 document of the native API, generated from its routes.

Litestar describes paths and parameters. Request and response bodies are described by msgspec, which also decodes
them: the document is as strict as the decoder (unknown fields, types, allowed intervals).
"""

import re
from collections.abc import Iterator
from types import NoneType
from typing import Any, NamedTuple

import msgspec
from litestar import Litestar, Response, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.routes import HTTPRoute

from libs.kinds.registry import kinds, spec_union
from libs.model.spec import Spec
from libs.model.state import StateStatus
from services.gateway.dialects.native.examples import EXAMPLES
from services.gateway.dialects.native.problems import MEDIA_TYPE, STATUS_DESCRIPTIONS, Problem, status_title
from services.gateway.dialects.native.schemas import LABELS_MAX, CheckCreate

VERSION = "2.0.0"

_REF = "#/components/schemas/{name}"
_PAGE = re.compile(r"Page_(\w+?)(?:View)?_")
_SPEC = {"$ref": _REF.format(name="Spec"), "description": "The target and check options; `kind` selects the schema."}
_WRITE_ONLY = 'Write-only: stored encrypted and returned as `{"sealed": true}`.'
_KEPT_SECRET = {
    "type": "object",
    "title": "Kept",
    "description": "Placeholder of a stored secret. In a change it keeps the stored value, as long as the recipient of the "
    "secret stays the same. Any other sealed value is refused.",
    "properties": {"sealed": {"const": True}},
    "required": ["sealed"],
    "additionalProperties": False,
}
_PARAMETER_SCHEMAS: dict[str, Any] = {
    "kind": {"enum": list(kinds())},
    "state": {"enum": list(StateStatus)},
    "from": {"format": "date-time"},
    "to": {"format": "date-time"},
    "label": {"items": {"type": "string", "pattern": "[:=]"}, "maxItems": LABELS_MAX},
}
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds until the request may be retried.", "schema": {"type": "integer"}}
}
_DESCRIPTION = """Manage monitors, read their results and state, and run checks on demand.

- Field names end with their unit (`timeout_s`); timestamps are RFC 3339.
- Lists are paginated: send `next_cursor` as `cursor` to get the next page.
- Request bodies are strict: unknown fields and wrong types are refused with the name of the field."""
_TAGS = {
    "Monitors": "Targets that are checked periodically, with their options and current state.",
    "Results": "Check results, uptime and state changes of a monitor, and the live stream of a tenant.",
    "Checks": "Checks on demand, of a monitor or of a target without one.",
    "Keys": "API keys of the tenant: scopes, allowed networks, expiry and rate limits.",
    "Tenants": "Tenants, their quotas and their keys. Requires the scope `operator`.",
    "Audit": "Log of changes: the key, the address and the time of each.",
}

Json = dict[str, Any]


class OperationTypes(NamedTuple):
    """Request and response types of one operation; None without a body."""

    path: str
    method: str
    data: Any
    reply: Any


def openapi_document(router: Router) -> bytes:
    """Returns the OpenAPI document of `router` as JSON."""
    # A temporary app: Litestar's own documentation pages load scripts from the Internet.
    app = Litestar([router], openapi_config=_config(), logging_config=None)
    schema = app.openapi_schema.to_schema()
    _describe_bodies(schema, list(_operation_types(app)))
    _describe_parameters(schema)
    _describe_problems(schema)
    return msgspec.json.encode(schema)


def _config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Vedette",
        version=VERSION,
        description=_DESCRIPTION,
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"key": []}],
        tags=[Tag(name=name, description=text) for name, text in _TAGS.items()],
        operation_id_creator=lambda handler, *_: handler.handler_name,
        render_plugins=[JsonRenderPlugin()],
    )


def _operation_types(app: Litestar) -> Iterator[OperationTypes]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for method, (handler, _) in route.route_handler_map.items():
            if handler.resolve_include_in_schema():
                data, reply = handler.parsed_data_field, handler.parsed_return_field
                shape = reply.args[0] if reply.origin is Response else reply.annotation
                described = isinstance(shape, type) and issubclass(shape, Response)  # by its handler
                yield OperationTypes(
                    route.path_format, method.lower(), data and data.annotation, None if described else shape
                )


def _describe_bodies(schema: Json, bodies: list[OperationTypes]) -> None:
    """Replaces Litestar's body schemas with those of msgspec."""
    shapes = [shape for body in bodies for shape in (body.data, body.reply) if shape not in {None, NoneType}]
    described, components = msgspec.json.schema_components([spec_union(), Problem, *shapes], ref_template=_REF)
    by_shape = dict(zip(shapes, described[2:], strict=True))
    for body in bodies:
        operation = schema["paths"][body.path][body.method]
        if body.data in by_shape:
            operation["requestBody"]["content"]["application/json"]["schema"] = by_shape[body.data]
        for status, answer in operation["responses"].items():
            if body.reply in by_shape and status.startswith("2"):
                answer["content"]["application/json"]["schema"] = by_shape[body.reply]
    _describe_specs(components)
    _rename_pages(schema["paths"], components)
    schema["components"]["schemas"] = {**components, "Kept": _KEPT_SECRET, "Spec": _with_discriminator(described[0])}


def _rename_pages(paths: Json, components: Json) -> None:
    """Gives pages a readable schema name: MonitorPage, where msgspec has `Page_MonitorView_`."""
    pages = {name: f"{found[1]}Page" for name in components if (found := _PAGE.fullmatch(name))}
    for name, readable in pages.items():
        components[readable] = {**components.pop(name), "title": readable}
    refs = {_REF.format(name=name): _REF.format(name=readable) for name, readable in pages.items()}
    for operation in (operation for operations in paths.values() for operation in operations.values()):
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                ref = content["schema"].get("$ref")
                content["schema"] = {"$ref": refs[ref]} if ref in refs else content["schema"]


def _describe_specs(components: Json) -> None:
    for name, component in components.items():
        if "spec" in component.get("properties", {}):
            component["properties"]["spec"] = _SPEC
        if name == CheckCreate.__name__:
            component["oneOf"] = [{"required": ["spec"]}, {"required": ["monitor_id"]}]
        if name in EXAMPLES:
            component["examples"] = [EXAMPLES[name]]
    for shape in kinds().values():
        _describe_secrets(components[shape.__name__]["properties"], shape)


def _describe_secrets(properties: Json, shape: type[Spec]) -> None:
    """Marks options that hold secrets as write-only, with the placeholder that keeps the stored value."""
    kept = {"$ref": _REF.format(name="Kept")}
    for name in shape.secret_options:
        schema = properties[name]
        default = {"default": schema.pop("default")} if "default" in schema else {}
        properties[name] = {"anyOf": [*schema.get("anyOf", [schema]), kept], "description": _WRITE_ONLY, **default}
    for name in shape.secret_maps:
        values = properties[name]["additionalProperties"]
        properties[name]["additionalProperties"] = {"anyOf": [*values.get("anyOf", [values]), kept]}
        properties[name]["description"] = (
            f"Entries with the name of a secret are {_WRITE_ONLY[0].lower()}{_WRITE_ONLY[1:]}"
        )


def _with_discriminator(spec: Json) -> Json:
    """Returns the union of all specs, discriminated by `kind`, also if there is only one kind."""
    mapping = {kind: _REF.format(name=shape.__name__) for kind, shape in kinds().items()}
    discriminator = {"propertyName": "kind", "mapping": mapping}
    return {"anyOf": spec.get("anyOf", [spec]), "discriminator": discriminator}


def _describe_parameters(schema: Json) -> None:
    """Adds the allowed values of parameters. An omitted parameter is absent, never null."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                text = parameter["schema"]
                for choice in text.pop("oneOf", []):
                    text |= {} if choice == {"type": "null"} else choice
                text |= _PARAMETER_SCHEMAS.get(parameter["name"], {})


def _describe_problems(schema: Json) -> None:
    """Adds the error responses of each operation."""
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
    schema["components"]["responses"] = {
        str(status): {"description": meaning, "x-title": status_title(status), "content": content}
        | ({"headers": _RETRY_AFTER} if status in {429, 503} else {})
        for status, meaning in STATUS_DESCRIPTIONS.items()
    }
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            own = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
            problems = {
                str(status): {"$ref": f"#/components/responses/{status}"} for status in _error_statuses(path, operation)
            }
            operation["responses"] = own | problems


def _error_statuses(path: str, operation: Json) -> list[int]:
    statuses = {401, 403, 422, 429, 503}
    if "requestBody" in operation:
        statuses |= {400, 409, 413, 415}
    if path.endswith(("/keys/{key_id}", "/tenants/{tenant_id}")):
        statuses |= {409}  # the last admin key, a name that is taken
    if path.endswith("/checks"):
        statuses |= {404, 504}
    if "_id}" in path:
        statuses |= {404}
    return sorted(statuses)
