"""Settings of all services, read once from environment variables. No other module reads the environment.

The variable of a setting is VEDETTE_ and its name in capitals; a secret may also come from the file named by
VEDETTE_<NAME>_FILE. An invalid value, or an unknown VEDETTE_ variable, prevents the start.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Meta

from libs.bus.auth.nkeys import AccountSigner
from libs.model.fields.validation import check_network
from libs.process import type_descriptions
from libs.sealing import keys

ENV_PREFIX = "VEDETTE_"
SECRET_SETTINGS = frozenset(
    {
        *("nats_url", "nats_password", "nats_issuer", "nats_system_url", "nats_system_password"),
        *("postgres_dsn", "postgres_password", "sealing_keys"),
    }
)

_LIST_SETTINGS = frozenset({"resolvers", "egress_allow", "egress_deny", "probe_allow", "trusted_proxies"})
_NETWORK_LIST_SETTINGS = frozenset({"egress_allow", "egress_deny", "probe_allow", "trusted_proxies"})

_Port = Annotated[int, Meta(ge=0, le=65535)]
_Days = Annotated[int, Meta(ge=1, le=36500)]
_PerSecond = Annotated[float, Meta(ge=0, le=100_000)]
_Burst = Annotated[int, Meta(ge=1, le=100_000)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of all services, so that one environment fits every container. README.md shows the descriptions."""

    nats_url: Annotated[
        str, Meta(pattern="^(nats|tls|ws|wss)://.+", description="NATS server, or several separated by commas")
    ] = "nats://127.0.0.1:4222"
    nats_password: Annotated[str, Meta(description="Password for the user in the NATS URL")] = ""
    nats_issuer: Annotated[
        str,
        Meta(
            description="Seed of the account key that signs tenants' NATS permissions; no access if empty (results only)"
        ),
    ] = ""
    nats_system_url: Annotated[
        str,
        Meta(
            pattern="^((nats|tls|ws|wss)://.+)?$",
            description="NATS server with the user of its system account, to close connections of revoked keys (results only)",
        ),
    ] = ""
    nats_system_password: Annotated[str, Meta(description="Password for the user in the URL of the system account")] = (
        ""
    )
    nats_listen: Annotated[
        str,
        Meta(
            pattern=r"^([^:\[\]]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$",
            description="Listen address of the NATS server of `vedette up`, for tenants; port 0: any free port",
        ),
    ] = "127.0.0.1:0"
    postgres_dsn: Annotated[
        str, Meta(pattern="^postgres(ql)?://.*", description="PostgreSQL database (results only)")
    ] = "postgresql://vedette@127.0.0.1:5432/vedette"
    postgres_password: Annotated[str, Meta(description="Password for the user in the PostgreSQL DSN")] = ""
    sealing_keys: Annotated[
        tuple[str, ...],
        Meta(
            description="Keys for secrets in specs: base64 of 32 bytes each, separated by commas or lines; the first encrypts, "
            "all decrypt (gateway and kinds only)"
        ),
    ] = ()
    location: Annotated[
        str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$", description="Location whose checks this process runs")
    ] = "local"
    host: Annotated[str, Meta(min_length=1, description="Address on which HTTP is served")] = "127.0.0.1"
    port: Annotated[_Port, Meta(description="Port of the API (gateway only)")] = 8080
    health_port: Annotated[_Port, Meta(description="Port of /health and /metrics; 0 for none")] = 9464
    api_docs: Annotated[bool, Meta(description="Serve the API documentation at /docs")] = True
    data_dir: Annotated[str, Meta(min_length=1, description="Data directory of `vedette up`")] = ".vedette"
    concurrency_max: Annotated[
        int, Meta(ge=1, le=100_000, description="Maximum number of concurrent checks of a prober")
    ] = 2000
    resolvers: Annotated[
        tuple[str, ...], Meta(description="DNS servers for targets, separated by commas; the system's if empty")
    ] = ()
    egress_private: Annotated[
        bool, Meta(description="Allow probes to private, loopback and other non-public addresses")
    ] = True
    egress_allow: Annotated[
        tuple[str, ...], Meta(description="Networks (CIDR, separated by commas) that probes may always reach")
    ] = ()
    egress_deny: Annotated[
        tuple[str, ...],
        Meta(description="Networks that probes may not reach; cloud metadata addresses are always denied"),
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Networks of reverse proxies whose X-Forwarded-For is trusted; none if empty"),
    ] = ()
    probe_allow: Annotated[
        tuple[str, ...],
        Meta(description="Networks from which /probe accepts requests without a key; under `vedette up`, this machine"),
    ] = ()
    probe_modules_file: Annotated[str, Meta(description="TOML file with additional modules for /probe")] = ""
    key_requests_per_s: Annotated[
        _PerSecond,
        Meta(description="Requests per second of one key, on all gateways together; 0 for no limit"),
    ] = 50.0
    key_requests_burst: Annotated[_Burst, Meta(description="Burst of requests of one key")] = 500
    tenant_requests_per_s: Annotated[
        _PerSecond, Meta(description="Requests per second of all keys of one tenant; 0 for no limit")
    ] = 200.0
    tenant_requests_burst: Annotated[_Burst, Meta(description="Burst of requests of all keys of a tenant")] = 2000
    shards: Annotated[int, Meta(ge=1, le=64, description="Number of shards of the schedules")] = 1
    results_bytes_max: Annotated[
        int, Meta(ge=1 << 20, description="Bytes of results buffered in NATS while PostgreSQL is unavailable")
    ] = 4 << 30
    results_keep_days: Annotated[_Days, Meta(description="Days for which individual results are kept")] = 14
    hourly_keep_days: Annotated[_Days, Meta(description="Days for which hourly rollups are kept")] = 120
    daily_keep_days: Annotated[_Days, Meta(description="Days for which daily rollups are kept")] = 1830
    shutdown_grace_s: Annotated[
        float, Meta(ge=0, le=600, description="Seconds for which checks in flight may finish at shutdown")
    ] = 20.0
    audit_keep_days: Annotated[_Days, Meta(description="Days for which the audit log is kept")] = 365
    tenant_monitors_max: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000_000,
            description="Maximum number of monitors of a tenant without its own quota; 0 for no limit",
        ),
    ] = 0
    tenant_interval_s_min: Annotated[
        int,
        Meta(ge=0, le=86_400, description="Minimum interval in seconds for a tenant without its own; 0 for no limit"),
    ] = 0
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Minimum log level")] = "info"
    log_format: Annotated[
        Literal["auto", "console", "json"], Meta(description="Log format; auto is console on a terminal, else json")
    ] = "auto"

    def __repr__(self) -> str:
        """Masks the secrets, so that settings may appear in a log or a traceback."""
        shown = ((name, "..." if name in SECRET_SETTINGS else getattr(self, name)) for name in self.__struct_fields__)
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown)})"


def load(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Returns the settings in `environ`; ValueError that names the variable and the allowed values.

    `overrides` are command-line options, as text or as values: they take precedence over the environment.
    """
    texts = _raw_values(environ)
    given = {name: _parse_value(name, text) for name, text in texts.items()}
    given |= {name: _parse_value(name, value) for name, value in overrides.items() if value is not None}
    settings = Settings(**given)
    _check_retention(settings)
    return _with_passwords(settings)


def env_name(name: str) -> str:
    return ENV_PREFIX + name.upper()


def setting_types() -> dict[str, Any]:
    """Returns the annotated type of every setting, in order of definition."""
    return get_type_hints(Settings, include_extras=True)


def _raw_values(environ: Mapping[str, str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for key in sorted(environ):
        if not key.startswith(ENV_PREFIX):
            continue
        name = key.removeprefix(ENV_PREFIX).lower()
        if name.removesuffix("_file") in SECRET_SETTINGS and name.endswith("_file"):
            texts.setdefault(name.removesuffix("_file"), _read_secret_file(key, environ[key]))
        elif name in Settings.__struct_fields__:
            texts[name] = environ[key]
        else:
            raise ValueError(_unknown_setting(key))
    return texts


def _read_secret_file(key: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{key} names the file {path!r}, which cannot be read: {error}") from error


def _unknown_setting(key: str) -> str:
    names = [env_name(name) for name in Settings.__struct_fields__]
    names += [env_name(name) + "_FILE" for name in sorted(SECRET_SETTINGS)]
    close = difflib.get_close_matches(key, names, n=1)
    return f"{key} is not a setting" + (f"; did you mean {close[0]}?" if close else "; the README lists all of them")


def _parse_value(name: str, value: Any) -> Any:
    kind = setting_types()[name]
    if isinstance(value, str) and name == "sealing_keys":
        value = _sealing_keys(value)
    if name == "nats_issuer" and value:
        _check_issuer(value)
    if isinstance(value, str) and name in _LIST_SETTINGS:
        value = [part.strip() for part in value.split(",") if part.strip()]
    if name in _NETWORK_LIST_SETTINGS:
        _check_networks(name, value)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        shown = "..." if name in SECRET_SETTINGS else repr(value)
        raise ValueError(
            f"{env_name(name)} is {shown}, but must be {type_descriptions.allowed_values(kind)}"
        ) from error


def _sealing_keys(text: str) -> tuple[str, ...]:
    found = keys.split_keys(text)
    for number, each in enumerate(found, start=1):
        try:
            keys.parse_key(each)
        except ValueError as error:
            detail = f"must hold base64 of {keys.KEY_BYTES} bytes for each key, but of key {number}: {error}"
            raise ValueError(f"{env_name('sealing_keys')} {detail}") from None
    return found


def _check_issuer(seed: str) -> None:
    try:
        AccountSigner(seed)
    except ValueError as error:
        detail = f"must be the seed of an account nkey, such as SAAB...: {error}"
        raise ValueError(f"{env_name('nats_issuer')} {detail}") from None


def _check_networks(name: str, texts: Iterable[str]) -> None:
    for text in texts:
        try:
            check_network(text)
        except ValueError as error:
            raise ValueError(f"{env_name(name)} must hold ranges such as 10.0.0.0/8 or fd00::/8: {error}") from None


def _check_retention(settings: Settings) -> None:
    """Rejects rollups that expire before their results: rolling up again would see a part of these only."""
    if settings.hourly_keep_days < settings.results_keep_days:
        hourly, results = env_name("hourly_keep_days"), env_name("results_keep_days")
        detail = f"must be at least {results}, which is {settings.results_keep_days}"
        raise ValueError(f"{hourly} is {settings.hourly_keep_days}, but {detail}")


def _with_passwords(settings: Settings) -> Settings:
    return msgspec.structs.replace(
        settings,
        nats_url=_with_password(settings.nats_url, settings.nats_password),
        postgres_dsn=_with_password(settings.postgres_dsn, settings.postgres_password),
        nats_system_url=_with_password(settings.nats_system_url, settings.nats_system_password),
        nats_password="",
        nats_system_password="",
        postgres_password="",
    )


def _with_password(urls: str, password: str) -> str:
    """Returns `urls` with the password inserted where there is a user without one."""
    return ",".join(_url_with_password(url, password) for url in urls.split(",")) if password else urls


def _url_with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    user, found, host = parts.netloc.rpartition("@")
    if not found or ":" in user:
        return url
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()
