"""Bodies that are almost right: what each is refused for. Used on the decoder alone and again over HTTP."""

from typing import Any

GOOD: dict[str, Any] = {"name": "home", "interval_s": 60, "spec": {"kind": "http", "url": "http://example.org/"}}
KEY: dict[str, Any] = {"name": "reader", "scopes": ["read"]}

_MANY_LABELS = {f"k{index}": "v" for index in range(33)}


def _spec(**fields: Any) -> dict[str, Any]:
    return GOOD | {"spec": GOOD["spec"] | fields}


# (body, the field to blame, words that say what is allowed)
MONITORS: list[tuple[Any, str, str]] = [
    ({}, "name", "required"),
    (GOOD | {"nmae": "x"}, "nmae", "allowed: name, interval_s"),
    (GOOD | {"id": "x"}, "id", "not a known field"),
    (GOOD | {"name": ""}, "name", "length"),
    (GOOD | {"name": "   "}, "name", "blank"),
    (GOOD | {"name": "x" * 201}, "name", "length"),
    (GOOD | {"name": "a\x00b"}, "name", "control"),
    (GOOD | {"name": "a\nb"}, "name", "control"),
    (GOOD | {"name": 5}, "name", "`str`"),
    (GOOD | {"name": None}, "name", "`str`"),
    (GOOD | {"interval_s": "60"}, "interval_s", "`int`"),
    (GOOD | {"interval_s": 60.5}, "interval_s", "`int`"),
    (GOOD | {"interval_s": True}, "interval_s", "`int`"),
    (GOOD | {"interval_s": None}, "interval_s", "`int`"),
    (GOOD | {"interval_s": 7}, "interval_s", "10, 12, 15, 20, 30, 60, 120"),
    (GOOD | {"interval_s": 0}, "interval_s", "one of"),
    (GOOD | {"interval_s": -60}, "interval_s", "one of"),
    (GOOD | {"interval_s": 10**30}, "interval_s", ""),
    (GOOD | {"timeout_s": "5"}, "timeout_s", "`float"),
    (GOOD | {"timeout_s": 60}, "timeout_s", "less than interval_s"),
    (GOOD | {"interval_s": 10, "timeout_s": 10}, "timeout_s", "less than interval_s"),
    (GOOD | {"interval_s": 3600, "timeout_s": 61}, "timeout_s", "0.1 to 60"),
    (GOOD | {"timeout_s": 0}, "timeout_s", "0.1 to 60"),
    (GOOD | {"timeout_s": -1}, "timeout_s", "0.1 to 60"),
    (GOOD | {"locations": []}, "locations", "length"),
    (GOOD | {"locations": "local"}, "locations", "`array`"),
    (GOOD | {"locations": ["a.b"]}, "locations[0]", "letters"),
    (GOOD | {"locations": ["local", "*"]}, "locations[1]", "letters"),
    (GOOD | {"locations": ["local", ">"]}, "locations[1]", "letters"),
    (GOOD | {"locations": ["a b"]}, "locations[0]", "letters"),
    (GOOD | {"locations": [""]}, "locations[0]", "letters"),
    (GOOD | {"locations": ["x" * 65]}, "locations[0]", "64"),
    (GOOD | {"locations": [1]}, "locations[0]", "`str`"),
    (GOOD | {"locations": ["a", "a"]}, "locations", "different"),
    (GOOD | {"locations": [f"l{index}" for index in range(17)]}, "locations", "length"),
    (GOOD | {"enabled": 1}, "enabled", "`bool`"),
    (GOOD | {"enabled": "true"}, "enabled", "`bool`"),
    (GOOD | {"labels": ["a"]}, "labels", "`object`"),
    (GOOD | {"labels": {"a": 1}}, "labels", "`str`"),
    (GOOD | {"labels": {"": "x"}}, "labels", "names"),
    (GOOD | {"labels": {"a:b": "x"}}, "labels", "names"),
    (GOOD | {"labels": {"a" * 64: "x"}}, "labels", "names"),
    (GOOD | {"labels": {"a": "x" * 256}}, "labels", "255"),
    (GOOD | {"labels": {"a": "\x00"}}, "labels", "control"),
    (GOOD | {"labels": _MANY_LABELS}, "labels", "length"),
    (GOOD | {"spec": None}, "spec", "`object`"),
    (GOOD | {"spec": "http"}, "spec", "`object`"),
    (GOOD | {"spec": {"url": "http://example.org/"}}, "spec.kind", "required"),
    (GOOD | {"spec": {"kind": 1}}, "spec.kind", "`str`"),
    (_spec(kind="carrier-pigeon"), "spec.kind", "must be one of "),
    (_spec(kind="gateway"), "spec.kind", "must be one of "),
    (GOOD | {"spec": {"kind": "http"}}, "spec.url", "required"),
    (_spec(url=5), "spec.url", "`str`"),
    # Secrets, for a gateway that has no key to seal them.
    (_spec(bearer_token="abc"), "spec.bearer_token", "VEDETTE_SEALING_KEYS"),
    (_spec(basic_auth={"username": "a", "password": "b"}), "spec.basic_auth", "VEDETTE_SEALING_KEYS"),
    (_spec(headers={"Accept": "*/*", "X-Api-Key": "a"}), "spec.headers.X-Api-Key", "VEDETTE_SEALING_KEYS"),
    (_spec(bearer_token={"sealed": True}), "spec.bearer_token", "nothing is stored yet"),
    (_spec(bearer_token={"sealed": "v1.0.a"}), "spec.bearer_token", "must be the value itself"),
    (_spec(bearer_token=5), "spec.bearer_token", "`str | null`"),
    (_spec(headers={"Cookie": {"sealed": True}}), "spec.headers.Cookie", "nothing is stored yet"),
    (_spec(headers={"Accept": {"sealed": True}}), "spec.headers", "`str | array`"),
    (_spec(url="ftp://example.org/"), "spec.url", "http://"),
    (_spec(url="http://user:secret@example.org/"), "spec.url", "credentials"),
    (_spec(url="http://example.org@evil.example/"), "spec.url", "credentials"),
    (_spec(url="http://example.org\\@evil.example/"), "spec.url", ""),
    (_spec(url="http://example.org:0/"), "spec.url", "1 to 65535"),
    (_spec(url="http://example.org:70000/"), "spec.url", "1 to 65535"),
    (_spec(url="http://example.org:http/"), "spec.url", ""),
    (_spec(url="http://2130706433/"), "spec.url", "IPv4"),
    (_spec(url="http://exa mple.org/"), "spec.url", "blanks"),
    (_spec(url="http:///path"), "spec.url", "host"),
    (_spec(method="DE LETE"), "spec.method", ""),
    (_spec(headers={"a": 1}), "spec.headers", "`str | array`"),
    (_spec(headers={"a\r\nb": "c"}), "spec.headers", ""),
    (_spec(expect_status=["20x"]), "spec.expect_status", "200-299"),
    (_spec(redirects_max="3"), "spec.redirects_max", "`int`"),
    (_spec(method="POST", body="a\x00b"), "spec.body", "NUL"),
    (_spec(body_contains=["fine", "a\x00b"]), "spec.body_contains[1]", "NUL"),
    (_spec(surprise=1), "spec.surprise", "allowed: kind, url, method"),
]

KEYS: list[tuple[Any, str, str]] = [
    ({"scopes": ["read"]}, "name", "required"),
    (KEY | {"scopes": []}, "scopes", "length"),
    (KEY | {"scopes": "read"}, "scopes", "`array`"),
    (KEY | {"scopes": ["root"]}, "scopes[0]", "root"),
    (KEY | {"scopes": ["read", "read"]}, "scopes", "different"),
    (KEY | {"cidrs": ["10.0.0.1/8"]}, "cidrs[0]", "host bits"),
    (KEY | {"cidrs": ["192.0.2.0/24", "everywhere"]}, "cidrs[1]", "network"),
    (KEY | {"cidrs": "192.0.2.0/24"}, "cidrs", "`array`"),
    (KEY | {"cidrs": ["::ffff:192.0.2.0/120"]}, "cidrs[0]", "IPv4"),
    (KEY | {"cidrs": ["fe80::1%eth0"]}, "cidrs[0]", "interface"),
    (KEY | {"expires_at": "tomorrow"}, "expires_at", "RFC3339"),
    (KEY | {"expires_at": "2026-07-01T12:00:00"}, "expires_at", "timezone"),
    (KEY | {"expires_at": 1_800_000_000}, "expires_at", ""),
    (KEY | {"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at", "years 1 to 9999"),
    (KEY | {"expires_at": "0001-01-01T00:00:00+12:00"}, "expires_at", "years 1 to 9999"),
    (KEY | {"rate": 10}, "rate", "`object | null`"),
    (KEY | {"rate": {"per_s": 10}}, "rate.burst", "required"),
    (KEY | {"rate": {"per_s": -1, "burst": 1}}, "rate.per_s", ">= 0"),
    (KEY | {"rate": {"per_s": 1e9, "burst": 1}}, "rate.per_s", "<= 1000000"),
    (KEY | {"rate": {"per_s": 1, "burst": 0}}, "rate.burst", ">= 1"),
    (KEY | {"rate": {"per_s": 1, "burst": 1.5}}, "rate.burst", "`int`"),
    (KEY | {"rate": {"per_s": 1, "burst": 1, "size": 1}}, "rate.size", "not a known field"),
    (KEY | {"tenant_id": "other"}, "tenant_id", "not a known field"),
]

CHECKS: list[tuple[Any, str, str]] = [
    ({}, "spec", "either"),
    ({"spec": GOOD["spec"], "monitor_id": "x"}, "spec", "either"),
    ({"spec": {"kind": "http", "url": "nonsense"}}, "spec.url", "http://"),
    ({"spec": GOOD["spec"], "location": "a.b"}, "location", "letters"),
    ({"spec": GOOD["spec"], "timeout_s": 0}, "timeout_s", "0.1 to 60"),
    ({"spec": GOOD["spec"], "timeout_s": 1e9}, "timeout_s", "0.1 to 60"),
    ({"monitor_id": 5}, "monitor_id", "`str`"),
]

NOT_JSON: list[bytes] = [
    *(b"{", b"nonsense", b"{'name': 'x'}", b'{"name": NaN}', b'{"name": "x",}', b'{"name": "\xff"}', b"\xef\xbb\xbf{}"),
    *(b'{"name": "\\ud800"}', b'{"name": "a\nb"}'),
]
