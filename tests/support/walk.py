"""Walks every route that the gateway serves, with ids put in wherever a client can put one.

Routes come from the dialects themselves. What is said here is which name takes what, and what a body looks like: a
route with a parameter, a body or a request of its own that stands in neither table fails the walk (KeyError).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from litestar import Litestar
from litestar.params import HeaderParameter, ParameterKwarg, QueryParameter
from litestar.routes import HTTPRoute

from libs.process.settings import Settings
from libs.sealing.sealer import Sealer
from services.gateway.__main__ import create_dialects
from services.gateway.context import GatewayContext
from services.gateway.web.event_stream import EventStreamResponse
from tests.support.client import Answer

# What somebody has, by its sort. None: a parameter with it is left out.
Things = Mapping[str, str | None]

# What is put in for a name in a path, a query or the headers: "{sort}" stands for the id of a thing of that sort.
PARAMETERS = {
    "monitor_id": "{monitor}",
    "key_id": "{key}",
    "tenant_id": "{tenant}",
    "monitor": "{monitor}",
    "cursor": "{cursor}",
    "label": "customer:{marker}",
    "name": "{marker}",
    "kind": "http",
    "state": "up",
    "limit": "100",
    "from": "{from}",
    "to": "{to}",
    "Idempotency-Key": "{order}",
    "Last-Event-ID": "{event}",
}
# These go with every request that takes them; each of the others is tried on its own.
_ALWAYS = frozenset({"limit", "from", "to"})


@dataclass(frozen=True)
class Example:
    """What a route takes beside the parameters that it declares: a body, or a query that it reads itself."""

    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


_SPEC = {"kind": "http", "url": "http://example.org/"}
EXAMPLES = {
    "POST /api/v2/monitors": Example({"name": "new", "interval_s": 60, "spec": _SPEC}),
    "PATCH /api/v2/monitors/{monitor_id}": Example({"name": "taken", "enabled": False}),
    "POST /api/v2/checks": Example({"monitor_id": "{monitor}", "timeout_s": 0.1}),
    "POST /api/v2/keys": Example({"name": "new", "scopes": ["read"]}, parameters={"Idempotency-Key": "{key_order}"}),
    "GET /api/v2/monitors/{monitor_id}/results": Example(parameters={"cursor": "{results_cursor}"}),
    "GET /api/v2/monitors/{monitor_id}/transitions": Example(parameters={"cursor": "{transitions_cursor}"}),
    "POST /api/v2/tenants": Example({"name": "new"}),
    "PATCH /api/v2/tenants/{tenant_id}": Example({"name": "taken"}),
    "POST /api/v2/tenants/{tenant_id}/keys": Example({"name": "new", "scopes": ["read"]}),
    "GET /api/v2/audit": Example(parameters={"cursor": "{audit_cursor}"}),
    "GET /probe": Example(),
    "POST /api/v1/devices/create": Example({"target_type": "domain", "target_value": "new.example"}),
    "DELETE /api/v1/devices/delete": Example(query={"id": "{device}"}),
    "POST /api/v1/blacklist-monitors/create": Example({"target_type": "domain", "target_value": "new.example"}),
    "DELETE /api/v1/blacklist-monitors/delete": Example(query={"id": "{blacklist_monitor}"}),
}


class Asked(NamedTuple):
    """One request of the walk. `aimed` when an id, or what else belongs to somebody, is in it.

    A place in the audit is nobody's: entries of all tenants are counted together, and each sees its own before it.
    """

    method: str
    path: str
    body: Any
    headers: dict[str, str]
    aimed: bool


class Route(NamedTuple):
    """One route, and whether its answer is a stream."""

    method: str
    path: str
    handler: Any
    streams: bool

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def routes() -> list[Route]:
    """Returns every route of every dialect."""
    nobody: Any = None
    means = GatewayContext(
        bus=nobody, authenticator=nobody, rate_limiter=nobody, streams=nobody, clock=nobody, shards=1, sealer=Sealer([])
    )
    app = Litestar(
        [each.router for each in create_dialects(means, Settings())], openapi_config=None, logging_config=None
    )
    return [
        Route(method, route.path_format, handler, handler.parsed_return_field.annotation is EventStreamResponse)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
        if method != "OPTIONS"
    ]


def requests(route: Route, things: Things) -> Iterator[Asked]:
    """Yields the requests that `route` takes, with `things` put in: one as it is, and one for each parameter."""
    reads_itself = route.handler.parsed_data_field or "request" in route.handler.parsed_fn_signature.parameters
    example = EXAMPLES[route.name] if reads_itself else EXAMPLES.get(route.name, Example())
    names = {**PARAMETERS, **example.parameters}
    declared = list(_declared(route))
    path = re.sub(r"{(\w+)}", lambda found: names[found[1]], route.path)
    always = dict(example.query) | {name: names[name] for name, kind in declared if name in _ALWAYS}
    tried = [(name, kind) for name, kind in declared if name not in _ALWAYS]
    yield _request(route, path, always, {}, example.body, things)
    for name, kind in tried:
        query, headers = ({name: names[name]}, {}) if kind is QueryParameter else ({}, {name: names[name]})
        yield _request(route, path, always | query, headers, example.body, things)


def normalised(answer: Answer) -> tuple[int, str]:
    """Returns what an answer says, without what is new in each: ids, instants and secrets."""
    body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", body.decode())
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "INSTANT", text)
    return answer.status, re.sub(r"vdt_[\w-]{43}", "SECRET", re.sub(r'"(id|number)":\d+', r'"\1":N', text))


def _declared(route: Route) -> Iterator[tuple[str, type[ParameterKwarg]]]:
    """Yields the name and the sort of each query and header parameter."""
    for name, parameter in route.handler.parsed_fn_signature.parameters.items():
        definition = parameter.kwarg_definition
        if isinstance(definition, QueryParameter | HeaderParameter):
            yield definition.name or name, type(definition)


def _request(  # noqa: PLR0917 - the parts of a request
    route: Route, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any, things: Things
) -> Asked:
    place, text = _filled(path, things), urlencode(_filled(query, things))
    return Asked(
        method=route.method,
        path=f"{place}?{text}" if text else place,
        body=_filled(body, things),
        headers=_filled(headers, things),
        aimed=re.search(r"{(?!from|to|audit_cursor)\w+}", f"{path} {query} {body} {headers}") is not None,
    )


def _filled(template: Any, things: Things) -> Any:
    """Returns `template` with every {sort} in its texts replaced; what holds a thing that is None is left out."""
    if isinstance(template, Mapping):
        filled = {name: _filled(value, things) for name, value in template.items()}
        return {name: value for name, value in filled.items() if template[name] is None or value is not None}
    if not isinstance(template, str):
        return template
    found = [things[sort] for sort in re.findall(r"{(\w+)}", template)]
    return None if None in found else re.sub(r"{(\w+)}", lambda part: str(things[part[1]]), template)
