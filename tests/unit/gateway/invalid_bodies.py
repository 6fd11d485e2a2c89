"""Request bodies with one error each, for the decoder and over HTTP."""

from typing import Any

VALID_MONITOR: dict[str, Any] = {
    "name": "home",
    "interval_s": 60,
    "spec": {"kind": "http", "url": "http://example.org/"},
}
VALID_KEY: dict[str, Any] = {"name": "reader", "scopes": ["read"]}

_MANY_LABELS = {f"k{index}": "v" for index in range(33)}


def _spec(**fields: Any) -> dict[str, Any]:
    return VALID_MONITOR | {"spec": VALID_MONITOR["spec"] | fields}


# (body, the field to blame, words that say what is allowed)
INVALID_MONITORS: list[tuple[Any, str, str]] = [
    ({}, "name", "required"),
    (VALID_MONITOR | {"nmae": "x"}, "nmae", "allowed: name, interval_s"),
    (VALID_MONITOR | {"id": "x"}, "id", "not a known field"),
    (VALID_MONITOR | {"name": ""}, "name", "length"),
    (VALID_MONITOR | {"name": "   "}, "name", "blank"),
    (VALID_MONITOR | {"name": "x" * 201}, "name", "length"),
    (VALID_MONITOR | {"name": "a\x00b"}, "name", "control"),
    (VALID_MONITOR | {"name": "a\nb"}, "name", "control"),
    (VALID_MONITOR | {"name": 5}, "name", "`str`"),
    (VALID_MONITOR | {"name": None}, "name", "`str`"),
    (VALID_MONITOR | {"interval_s": "60"}, "interval_s", "`int`"),
    (VALID_MONITOR | {"interval_s": 60.5}, "interval_s", "`int`"),
    (VALID_MONITOR | {"interval_s": True}, "interval_s", "`int`"),
    (VALID_MONITOR | {"interval_s": None}, "interval_s", "`int`"),
    (VALID_MONITOR | {"interval_s": 7}, "interval_s", "10, 12, 15, 20, 30, 60, 120"),
    (VALID_MONITOR | {"interval_s": 0}, "interval_s", "one of"),
    (VALID_MONITOR | {"interval_s": -60}, "interval_s", "one of"),
    (VALID_MONITOR | {"interval_s": 10**30}, "interval_s", ""),
    (VALID_MONITOR | {"timeout_s": "5"}, "timeout_s", "`float"),
    (VALID_MONITOR | {"timeout_s": 60}, "timeout_s", "less than interval_s"),
    (VALID_MONITOR | {"interval_s": 10, "timeout_s": 10}, "timeout_s", "less than interval_s"),
    (VALID_MONITOR | {"interval_s": 3600, "timeout_s": 61}, "timeout_s", "0.1 to 60"),
    (VALID_MONITOR | {"timeout_s": 0}, "timeout_s", "0.1 to 60"),
    (VALID_MONITOR | {"timeout_s": -1}, "timeout_s", "0.1 to 60"),
    (VALID_MONITOR | {"locations": []}, "locations", "length"),
    (VALID_MONITOR | {"locations": "local"}, "locations", "`array`"),
    (VALID_MONITOR | {"locations": ["a.b"]}, "locations[0]", "letters"),
    (VALID_MONITOR | {"locations": ["local", "*"]}, "locations[1]", "letters"),
    (VALID_MONITOR | {"locations": ["local", ">"]}, "locations[1]", "letters"),
    (VALID_MONITOR | {"locations": ["a b"]}, "locations[0]", "letters"),
    (VALID_MONITOR | {"locations": [""]}, "locations[0]", "letters"),
    (VALID_MONITOR | {"locations": ["x" * 65]}, "locations[0]", "64"),
    (VALID_MONITOR | {"locations": [1]}, "locations[0]", "`str`"),
    (VALID_MONITOR | {"locations": ["a", "a"]}, "locations", "different"),
    (VALID_MONITOR | {"locations": [f"l{index}" for index in range(17)]}, "locations", "length"),
    (VALID_MONITOR | {"enabled": 1}, "enabled", "`bool`"),
    (VALID_MONITOR | {"enabled": "true"}, "enabled", "`bool`"),
    (VALID_MONITOR | {"labels": ["a"]}, "labels", "`object`"),
    (VALID_MONITOR | {"labels": {"a": 1}}, "labels", "`str`"),
    (VALID_MONITOR | {"labels": {"": "x"}}, "labels", "names"),
    (VALID_MONITOR | {"labels": {"a:b": "x"}}, "labels", "names"),
    (VALID_MONITOR | {"labels": {"a" * 64: "x"}}, "labels", "names"),
    (VALID_MONITOR | {"labels": {"a": "x" * 256}}, "labels", "255"),
    (VALID_MONITOR | {"labels": {"a": "\x00"}}, "labels", "control"),
    (VALID_MONITOR | {"labels": _MANY_LABELS}, "labels", "length"),
    (VALID_MONITOR | {"spec": None}, "spec", "`object`"),
    (VALID_MONITOR | {"spec": "http"}, "spec", "`object`"),
    (VALID_MONITOR | {"spec": {"url": "http://example.org/"}}, "spec.kind", "required"),
    (VALID_MONITOR | {"spec": {"kind": 1}}, "spec.kind", "`str`"),
    (_spec(kind="carrier-pigeon"), "spec.kind", "must be one of "),
    (_spec(kind="gateway"), "spec.kind", "must be one of "),
    (VALID_MONITOR | {"spec": {"kind": "http"}}, "spec.url", "required"),
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

INVALID_KEYS: list[tuple[Any, str, str]] = [
    ({"scopes": ["read"]}, "name", "required"),
    (VALID_KEY | {"scopes": []}, "scopes", "length"),
    (VALID_KEY | {"scopes": "read"}, "scopes", "`array`"),
    (VALID_KEY | {"scopes": ["root"]}, "scopes[0]", "root"),
    (VALID_KEY | {"scopes": ["read", "read"]}, "scopes", "different"),
    (VALID_KEY | {"cidrs": ["10.0.0.1/8"]}, "cidrs[0]", "host bits"),
    (VALID_KEY | {"cidrs": ["192.0.2.0/24", "everywhere"]}, "cidrs[1]", "network"),
    (VALID_KEY | {"cidrs": "192.0.2.0/24"}, "cidrs", "`array`"),
    (VALID_KEY | {"cidrs": ["::ffff:192.0.2.0/120"]}, "cidrs[0]", "IPv4"),
    (VALID_KEY | {"cidrs": ["fe80::1%eth0"]}, "cidrs[0]", "interface"),
    (VALID_KEY | {"expires_at": "tomorrow"}, "expires_at", "RFC3339"),
    (VALID_KEY | {"expires_at": "2026-07-01T12:00:00"}, "expires_at", "timezone"),
    (VALID_KEY | {"expires_at": 1_800_000_000}, "expires_at", ""),
    (VALID_KEY | {"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at", "years 1 to 9999"),
    (VALID_KEY | {"expires_at": "0001-01-01T00:00:00+12:00"}, "expires_at", "years 1 to 9999"),
    (VALID_KEY | {"rate": 10}, "rate", "`object | null`"),
    (VALID_KEY | {"rate": {"per_s": 10}}, "rate.burst", "required"),
    (VALID_KEY | {"rate": {"per_s": -1, "burst": 1}}, "rate.per_s", ">= 0"),
    (VALID_KEY | {"rate": {"per_s": 1e9, "burst": 1}}, "rate.per_s", "<= 1000000"),
    (VALID_KEY | {"rate": {"per_s": 1, "burst": 0}}, "rate.burst", ">= 1"),
    (VALID_KEY | {"rate": {"per_s": 1, "burst": 1.5}}, "rate.burst", "`int`"),
    (VALID_KEY | {"rate": {"per_s": 1, "burst": 1, "size": 1}}, "rate.size", "not a known field"),
    (VALID_KEY | {"tenant_id": "other"}, "tenant_id", "not a known field"),
]

INVALID_CHECKS: list[tuple[Any, str, str]] = [
    ({}, "spec", "either"),
    ({"spec": VALID_MONITOR["spec"], "monitor_id": "x"}, "spec", "either"),
    ({"spec": {"kind": "http", "url": "nonsense"}}, "spec.url", "http://"),
    ({"spec": VALID_MONITOR["spec"], "location": "a.b"}, "location", "letters"),
    ({"spec": VALID_MONITOR["spec"], "timeout_s": 0}, "timeout_s", "0.1 to 60"),
    ({"spec": VALID_MONITOR["spec"], "timeout_s": 1e9}, "timeout_s", "0.1 to 60"),
    ({"monitor_id": 5}, "monitor_id", "`str`"),
]

INVALID_JSON: list[bytes] = [
    *(b"{", b"nonsense", b"{'name': 'x'}", b'{"name": NaN}', b'{"name": "x",}', b'{"name": "\xff"}', b"\xef\xbb\xbf{}"),
    *(b'{"name": "\\ud800"}', b'{"name": "a\nb"}'),
]
