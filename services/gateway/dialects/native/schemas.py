"""Request bodies of the native API, with the validation that needs no request on the bus."""

import re
from datetime import datetime
from typing import Annotated, Any, Self

import msgspec
from msgspec import UNSET, Meta, UnsetType

from libs.bus.subjects import is_token
from libs.model.fields.validation import (
    CIDRS_MAX,
    CONTROL_CHARACTERS,
    NAME_LENGTH_MAX,
    RATE_MAX,
    check_cidrs,
    check_instant,
    check_name,
)
from libs.model.interval import INTERVALS_S
from libs.model.monitor import DEFAULT_LOCATION, MonitorChange, MonitorDraft
from libs.model.tenancy import Rate, Scope
from services.gateway.spec_intake import SpecIntake

LABELS_MAX = 32
LABEL_VALUE_LENGTH_MAX = 255
LOCATIONS_MAX = 16
TIMEOUT_S_MIN = 0.1
TIMEOUT_S_MAX = 60.0
DEFAULT_TIMEOUT_S = 10.0

LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}")

# The patterns are for the OpenAPI document. Decoded values are validated below, with readable messages.
_CONTROL = CONTROL_CHARACTERS.pattern[1:-1]

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=NAME_LENGTH_MAX,
        description="Display name.",
        examples=["Example home"],
        extra_json_schema={"pattern": rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"},
    ),
]
Interval = Annotated[
    int,
    Meta(description="Seconds between two checks.", examples=[60], extra_json_schema={"enum": list(INTERVALS_S)}),
]
Timeout = Annotated[
    float,
    Meta(
        description="Timeout of one check in seconds, less than the interval. Default: 10, or 80 % of the interval if that is less.",
        examples=[10.0],
        extra_json_schema={"minimum": TIMEOUT_S_MIN, "maximum": TIMEOUT_S_MAX},
    ),
]
Location = Annotated[str, Meta(extra_json_schema={"pattern": "^[A-Za-z0-9_-]{1,64}$"})]
Locations = Annotated[
    list[Location],
    Meta(
        min_length=1,
        max_length=LOCATIONS_MAX,
        description="Probe locations.",
        examples=[[DEFAULT_LOCATION]],
        extra_json_schema={"uniqueItems": True},
    ),
]
Enabled = Annotated[bool, Meta(description="Whether the monitor is checked.")]
Label = Annotated[str, Meta(extra_json_schema={"maxLength": LABEL_VALUE_LENGTH_MAX, "pattern": f"^[^{_CONTROL}]*$"})]
Labels = Annotated[
    dict[str, Label],
    Meta(
        max_length=LABELS_MAX,
        description="Labels for filters.",
        examples=[{"customer": "c-17"}],
        extra_json_schema={"propertyNames": {"pattern": f"^{LABEL_KEY.pattern}$"}},
    ),
]
RawSpec = Annotated[msgspec.Raw, Meta(description="The target and check options; `kind` selects the schema.")]


class MonitorCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A monitor to create."""

    name: Name
    interval_s: Interval
    timeout_s: Timeout | None = None
    locations: Locations = msgspec.field(default_factory=lambda: [DEFAULT_LOCATION])
    enabled: Enabled = True
    labels: Labels = {}
    spec: RawSpec

    def __post_init__(self) -> None:
        check_name(self.name)
        _check_interval(self.interval_s)
        _check_timeout(self.timeout_s, self.interval_s)
        _check_locations(self.locations)
        _check_labels(self.labels)

    def to_draft(self, specs: SpecIntake) -> MonitorDraft:
        """Returns the draft to store; raises RequestError for an invalid spec."""
        taken = specs.accept(self.spec)
        return MonitorDraft(
            name=self.name,
            kind=taken.kind,
            target=taken.spec.target,
            interval_s=self.interval_s,
            timeout_s=self.timeout_s or min(DEFAULT_TIMEOUT_S, 0.8 * self.interval_s),
            spec=taken.raw,
            locations=self.locations,
            enabled=self.enabled,
            labels=self.labels,
        )

    def with_digests(self, specs: SpecIntake) -> Self:
        """Returns a copy with digests in place of secrets, for the stored idempotency fingerprint."""
        return msgspec.structs.replace(self, spec=specs.fingerprint(self.spec))


class MonitorPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of a monitor to change. `labels`, `locations` and `spec` are replaced whole."""

    name: Name | UnsetType = UNSET
    interval_s: Interval | UnsetType = UNSET
    timeout_s: Timeout | UnsetType = UNSET
    locations: Locations | UnsetType = UNSET
    enabled: Enabled | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    spec: RawSpec | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.name is not UNSET:
            check_name(self.name)
        if self.interval_s is not UNSET:
            _check_interval(self.interval_s)
        if self.timeout_s is not UNSET:
            _check_timeout(self.timeout_s, self.interval_s)
        if self.locations is not UNSET:
            _check_locations(self.locations)
        if self.labels is not UNSET:
            _check_labels(self.labels)

    def to_change(self, specs: SpecIntake) -> MonitorChange:
        """Returns the change to store; raises RequestError for an invalid spec."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__ if name != "spec"}
        if self.spec is UNSET:
            return MonitorChange(**plain)
        taken = specs.accept_change(self.spec)
        return MonitorChange(
            **plain,
            spec=taken.raw,
            kind=taken.kind,
            target=taken.spec.target,
            kept=taken.kept_secrets,
            recipient=taken.spec.recipient,
        )


class CheckCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check to run now: of a `spec` (the result is not stored) or of a monitor (the result is stored)."""

    spec: RawSpec | UnsetType = UNSET
    monitor_id: Annotated[str, Meta(description="Id of a monitor, instead of a spec.")] | UnsetType = UNSET
    location: Annotated[Location, Meta(description="Probe locations.", examples=[DEFAULT_LOCATION])] | UnsetType = UNSET
    timeout_s: Timeout | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.spec is UNSET) == (self.monitor_id is UNSET):
            raise ValueError("spec: give either spec or monitor_id")
        if self.location is not UNSET:
            _check_token("location", self.location)
        if self.timeout_s is not UNSET:
            _check_timeout(self.timeout_s, UNSET)


class RateGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rate limit (token bucket): `burst` requests at once, `per_s` on average; 0 per second is no limit."""

    per_s: Annotated[float, Meta(ge=0, le=RATE_MAX, description="Requests per second.", examples=[10.0])]
    burst: Annotated[int, Meta(ge=1, le=RATE_MAX, description="Requests at once.", examples=[50])]

    def to_rate(self) -> Rate:
        return Rate(per_s=self.per_s, burst=self.burst)


class KeyCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to create."""

    name: Name
    scopes: Annotated[
        list[Scope],
        Meta(
            min_length=1,
            max_length=len(Scope),
            description="Permissions; each scope includes the ones before it.",
            extra_json_schema={"uniqueItems": True},
        ),
    ]
    cidrs: Annotated[
        list[str],
        Meta(
            max_length=CIDRS_MAX,
            description="Networks that may use the key; any if empty.",
            examples=[["192.0.2.0/24"]],
        ),
    ] = []
    expires_at: Annotated[datetime, Meta(tz=True, description="Time of expiry.")] | None = None
    rate: RateGiven | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(set(self.scopes)) < len(self.scopes):
            raise ValueError("scopes: must be different from each other")
        check_cidrs("cidrs", self.cidrs)
        if self.expires_at is not None:
            check_instant("expires_at", self.expires_at)


def check_label(field: str, key: str, value: str) -> None:
    if not LABEL_KEY.fullmatch(key):
        raise ValueError(f"{field}: names must be 1 to 63 letters, digits or any of _ . / - and start with neither")
    if len(value) > LABEL_VALUE_LENGTH_MAX or CONTROL_CHARACTERS.search(value):
        raise ValueError(
            f"{field}: values must be at most {LABEL_VALUE_LENGTH_MAX} characters, without control characters"
        )


def _check_interval(interval_s: int) -> None:
    if interval_s not in INTERVALS_S:
        raise ValueError(f"interval_s: must be one of {', '.join(map(str, INTERVALS_S))}")


def _check_timeout(timeout_s: float | None, interval_s: int | UnsetType) -> None:
    if timeout_s is None:
        return
    if not TIMEOUT_S_MIN <= timeout_s <= TIMEOUT_S_MAX:
        raise ValueError(f"timeout_s: must be from {TIMEOUT_S_MIN:g} to {TIMEOUT_S_MAX:g}")
    if interval_s is not UNSET and timeout_s >= interval_s:
        raise ValueError(f"timeout_s: must be less than interval_s, which is {interval_s}")


def _check_locations(locations: list[str]) -> None:
    for index, location in enumerate(locations):
        _check_token(f"locations[{index}]", location)
    if len(set(locations)) < len(locations):
        raise ValueError("locations: must be different from each other")


def _check_token(field: str, text: str) -> None:
    if not is_token(text):
        raise ValueError(f"{field}: must be 1 to 64 letters, digits, dashes or underscores")


def _check_labels(labels: dict[str, str]) -> None:
    for key, value in labels.items():
        check_label("labels", key, value)
