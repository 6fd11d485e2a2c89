"""The OpenAPI 3.1 document of the native API, made from its routes: what is described is what is decoded.

Litestar describes paths and parameters. Bodies and replies are described by msgspec, which also decodes them and so
knows what it refuses: unknown fields, other types, intervals that are not offered.
"""

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
_SPEC = {"$ref": _REF.format(name="Spec"), "description": "What to check: `kind`, and the options of that kind."}
_WRITE_ONLY = 'Write-only: stored sealed, and shown as `{"sealed": true}`.'
_KEPT_SECRET = {
    "type": "object",
    "title": "Kept",
    "description": "A secret that is stored sealed. Sent in a change, it stays as it is, as long as it goes to the same "
    "recipient; nothing else that is sealed is taken from a client.",
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
_RETRY_AFTER = {"Retry-After": {"description": "In how many seconds to come back.", "schema": {"type": "integer"}}}
_DESCRIPTION = """Monitors, their results and their state.

Units stand last in names and are base units; instants are RFC 3339. Lists come in pages: follow `next_cursor`.
Bodies are strict: a field that is not known, or of another type, is refused by name."""
_TAGS = {
    "monitors": "What is watched",
    "results": "What was seen",
    "checks": "Look now",
    "keys": "Who may ask, and who changed what",
    "tenants": "For operators: whose things there are, and what they may have",
}

Json = dict[str, Any]


class OperationTypes(NamedTuple):
    """The types that one operation takes and gives; None for none."""

    path: str
    method: str
    data: Any
    reply: Any


def openapi_document(router: Router) -> bytes:
    """Returns the document of `router` as JSON."""
    # A throw-away app, because one that also serves the document would bring pages that load from the Internet.
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
    """Puts msgspec's descriptions in the place of Litestar's."""
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
    schema["components"]["schemas"] = {**components, "Kept": _KEPT_SECRET, "Spec": _with_discriminator(described[0])}


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
    """Says of each option with a secret that it is never shown again, and may be kept when a spec is replaced."""
    kept = {"$ref": _REF.format(name="Kept")}
    for name in shape.secret_options:
        schema = properties[name]
        default = {"default": schema.pop("default")} if "default" in schema else {}
        properties[name] = {"anyOf": [*schema.get("anyOf", [schema]), kept], "description": _WRITE_ONLY, **default}
    for name in shape.secret_maps:
        values = properties[name]["additionalProperties"]
        properties[name]["additionalProperties"] = {"anyOf": [*values.get("anyOf", [values]), kept]}
        properties[name]["description"] = f"Of what a name says is secret: {_WRITE_ONLY[0].lower()}{_WRITE_ONLY[1:]}"


def _with_discriminator(spec: Json) -> Json:
    """Returns the schema of all specs as a choice by `kind`, also when there is but one kind."""
    mapping = {kind: _REF.format(name=shape.__name__) for kind, shape in kinds().items()}
    discriminator = {"propertyName": "kind", "mapping": mapping}
    return {"anyOf": spec.get("anyOf", [spec]), "discriminator": discriminator}


def _describe_parameters(schema: Json) -> None:
    """Says of parameters which texts are taken. A parameter that is not given is left out, and never null."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                text = parameter["schema"]
                for choice in text.pop("oneOf", []):
                    text |= {} if choice == {"type": "null"} else choice
                text |= _PARAMETER_SCHEMAS.get(parameter["name"], {})


def _describe_problems(schema: Json) -> None:
    """Says of each operation which problems it answers with."""
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
