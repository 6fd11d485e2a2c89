"""The OpenAPI document held against the gateway: requests that fit it and requests that do not, made by schemathesis.

Each is sent with every key: those of tenant b by scope, and the operator's. Whatever comes back is soon there, is what
the document says of that operation, and tells nothing of tenant a nor of our insides.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from tests.integration.gateway.conftest import StartGateway
from tests.integration.gateway.native.test_native_api import V2
from tests.integration.gateway.test_tenants import OPERATORS, TwoTenants, two_tenants
from tests.support.fuzzing import ANSWER_S_MAX, DESCRIBED, FUZZ_S_MAX, Insides, many

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
# What a parameter, or a field of a body, is the id of.
ID_PARAMETERS = {"monitor_id": "monitor", "monitor": "monitor", "key_id": "key", "tenant_id": "tenant"}
CREATED_MAX = 20
CHECK_TIMEOUT_S = 0.1
KEYS_MIN = 3  # that a case is sent with

Json = dict[str, Any]


class SchemaFuzzer:
    """Sends cases with each key, and remembers what they created: later ones are aimed at that."""

    def __init__(self, two: TwoTenants, document: Json) -> None:
        self.seen: Counter[int] = Counter()
        self.operations: set[str] = set()
        self._two = two
        self._examples = body_examples(document)
        self._keys = {**two.b, "operator": two.home.key}
        self._made: dict[str, deque[str]] = {sort: deque(maxlen=CREATED_MAX) for sort in ID_PARAMETERS.values()}
        self._insides = Insides()
        self._session = requests.Session()
        self._session.hooks["response"] = [close_stream]

    def send(self, case: Case, aim: str, number: int) -> None:
        """Sends a case: as it is, or nearer to good ones and about something that b made, or that a has."""
        if aim != "none":
            case.body = blend_with_example(case.body, self._examples.get(case.operation.label, {}), number)
            substitute_ids(case, self._two.ids if aim == "another's" else self._own_ids(number))
        if case.path == f"{V2}/checks":
            case.body = with_short_timeout(case.body)
        for scope, key in self._keys.items():
            operates = scope == "operator" and case.path.startswith(OPERATORS)
            if not (operates and aim == "another's"):  # what operators do to a tenant is theirs to do
                self._send(case, key, blind=not operates)

    def _own_ids(self, number: int) -> dict[str, str]:
        return {sort: made[number % len(made)] for sort, made in self._made.items() if made}

    def _send(self, case: Case, key: str, *, blind: bool) -> None:
        home = f"http://127.0.0.1:{self._two.home.port}"
        headers = {"Authorization": f"Bearer {key}"}
        answer = case.call(base_url=home, session=self._session, headers=headers, timeout=ANSWER_S_MAX)
        self._insides.said(str(answer.request.url), str(answer.request.headers), repr(case.body))
        seen = f"{answer.headers} {answer.text}"
        assert not self._insides.told(seen), seen
        if blind:
            self._two.check_no_leak(seen)
        case.validate_response(answer, checks=CHECKS)
        self._record(case, answer)

    def _record(self, case: Case, answer: Any) -> None:
        self.seen[answer.status_code] += 1
        self.operations.add(case.operation.label)
        if answer.status_code == 201:
            sort = case.path.rpartition("/")[2].removesuffix("s")
            self._made[sort].append(answer.json()["id"])


def body_examples(document: Json) -> dict[str, Json]:
    """Returns an example of each operation's body, as the document gives it."""
    schemas, found = document["components"]["schemas"], {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if "requestBody" in operation:
                ref = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                found[f"{method.upper()} {path}"] = schemas[ref.rpartition("/")[2]]["examples"][0]
    return found


def blend_with_example(body: Any, example: Json, number: int) -> Any:
    """Returns `body` with some of its fields, as the bits of `number` say, and the others as in the example."""
    if not isinstance(body, dict):
        return body
    return example | {name: value for bit, (name, value) in enumerate(body.items()) if number >> bit & 1}


def substitute_ids(case: Case, things: Mapping[str, str | None]) -> None:
    """Puts ids of `things` into the case wherever it names one of their sort."""
    for place in (case.path_parameters, case.query, case.body):
        for name in ID_PARAMETERS if isinstance(place, dict) else ():
            if name in place and (thing := things.get(ID_PARAMETERS[name])):
                place[name] = thing


def with_short_timeout(body: Any) -> Any:
    """Returns the body of a check with little time for it: no prober is here to answer one that is good."""
    good = isinstance(body, dict) and isinstance(body.get("timeout_s", 10), int | float)
    return body | {"timeout_s": CHECK_TIMEOUT_S} if good else body


def close_stream(answer: requests.Response, *_: Any, **__: Any) -> None:
    """Leaves a stream as soon as its head is there."""
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        answer.close()


def cases(document: Json) -> st.SearchStrategy[Case]:
    """Returns what makes cases for all operations, good ones and bad ones. Who asks is not theirs to say."""
    config = SchemathesisConfig()
    config.projects.default.generation.with_security_parameters = False
    found = schemathesis.openapi.from_dict(document, config=config).get_all_operations()
    operations = [each.ok() for each in found]
    made = [each.as_strategy(generation_mode=mode) for each in operations for mode in GenerationMode]
    return st.sampled_from(made).flatmap(lambda strategy: strategy)


# Hypothesis watches the random module, which the house uses meanwhile in another thread.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.timeout(FUZZ_S_MAX)
async def test_the_gateway_does_what_its_document_says(house: StartGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.dialects.native.checks.ROUND_TRIP_S", 0.05 - CHECK_TIMEOUT_S)
    async with two_tenants(house, key_requests_per_s=0.0, tenant_requests_per_s=0.0) as two, two.home.api() as api:
        document = await api.get(f"{V2}/openapi.json")
        before = await two.snapshot()
        fuzz = SchemaFuzzer(two, document)
        aims = st.sampled_from(["none", "own", "another's"])
        await asyncio.to_thread(
            many, -(-DESCRIBED // KEYS_MIN), fuzz.send, case=cases(document), aim=aims, number=st.integers(0, 1023)
        )
        await two.a.close()  # it was idle for too long to be kept alive
        assert await two.snapshot() == before
    assert fuzz.seen.total() >= DESCRIBED
    assert fuzz.operations == {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    }
    assert {200, 201, 400, 403, 404, 422, 504} <= set(fuzz.seen)  # else the requests are too far from good ones
    print(sorted(fuzz.seen.items()))
