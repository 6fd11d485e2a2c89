"""Good and bad certificates, after badssl.com, with the verdict that each must get."""

import ssl
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Status
from tests.support.targets.cases import Case
from tests.support.targets.certificates import MUST_STAPLE, TELLS_ISSUER, Authority
from tests.support.targets.web import page, says

HOST = "127.0.0.1"
HELLO = says(page())
FORGIVING = {"tls_findings": "degraded"}


def certificate_servers(folder: Path, authority: Authority) -> dict[str, ssl.SSLContext]:
    """Returns the TLS servers by the names of their cases."""
    return _leaves(authority) | _names(authority) | _chains(folder, authority) | _weak(folder, authority)


def _leaves(authority: Authority) -> dict[str, ssl.SSLContext]:
    newest = authority.server(HOST)
    newest.minimum_version = ssl.TLSVersion.TLSv1_3
    return {
        "TLS 1.3 only": newest,
        "must staple": authority.server(HOST, extensions=[MUST_STAPLE]),
        "one hour left": authority.server(HOST, days=(-90, 1 / 24)),
        "a third of a short life left": authority.server(HOST, days=(-4, 2)),
        "a sixth of a short life left": authority.server(HOST, days=(-5, 1)),
        "ten years, one of them left": authority.server(HOST, days=(-3285, 365)),
        "expired, for another name": authority.server("elsewhere.example", days=(-90, -1)),
    }


def _names(authority: Authority) -> dict[str, ssl.SSLContext]:
    return {
        "an address only": authority.server("127.0.0.1"),
        "a name in the common name only": authority.server(common_name="localhost"),
        "a wildcard": authority.server("*.zoo.example"),
        "a thousand names": authority.server("localhost", *(f"host-{number}.example" for number in range(1000))),
    }


def _chains(folder: Path, authority: Authority) -> dict[str, ssl.SSLContext]:
    between = Authority(folder, "An authority between", authority)
    stranger = Authority(folder, "Another stranger")
    expired = authority.vouch(between, (-90, -1))
    return {
        "an intermediate": between.server(HOST),
        "an intermediate left out": between.server(HOST, chain=[], extensions=[TELLS_ISSUER]),
        "a root that is not trusted": stranger.server(HOST, chain=[stranger.certificate]),
        "an expired intermediate": between.server(HOST, chain=[expired]),
        "an expired extra": between.server(HOST, chain=[between.certificate, expired]),
        "an expired extra before": between.server(HOST, chain=[expired, between.certificate]),
        "the wrong order": between.server(HOST, chain=[authority.certificate, between.certificate]),
        "fifty extras": between.server(HOST, chain=[between.certificate, *[stranger.certificate] * 50]),
        "too many extras": between.server(HOST, chain=[between.certificate, *[stranger.certificate] * 400]),
    }


def _weak(folder: Path, authority: Authority) -> dict[str, ssl.SSLContext]:
    old = Authority(folder, "An old authority", authority, rsa.generate_private_key(65537, 2048))
    return {
        "a key of 1024 bits": authority.server(HOST, key=rsa.generate_private_key(65537, 1024)),
        "a signature by SHA-1": old.server(HOST, sha1=True),
    }


def case(name: str, reason: str = "ok", status: Status | None = None, path: str = "/", **options: str) -> Case:
    found = TlsReason(reason) if reason != "ok" else Case.reason
    return Case(name, HELLO, found, dict(options), path, name.partition(", told")[0], status=status)


DEGRADED = Status.DEGRADED
CERTIFICATES = (
    case("TLS 1.3 only"),
    case("must staple"),
    case("one hour left", "tls_expiring", DEGRADED),
    case("a third of a short life left"),
    case("a sixth of a short life left", "tls_expiring", DEGRADED),
    case("ten years, one of them left"),
    case("expired, for another name", "tls_certificate_expired"),
    case("an address only"),
    case("a name in the common name only", "tls_hostname_mismatch", path="//localhost/"),
    case("a wildcard", server_name="one.zoo.example"),
    case("a wildcard, told two labels", "tls_hostname_mismatch", server_name="two.one.zoo.example"),
    case("a wildcard, told none", "tls_hostname_mismatch", server_name="zoo.example"),
    case("a thousand names", path="//localhost/"),
    case("an intermediate"),
    case("an intermediate left out", "tls_incomplete_chain"),
    case("a root that is not trusted", "tls_untrusted"),
    case("an expired intermediate", "tls_certificate_expired"),
    case("an expired extra"),
    case("an expired extra before"),
    case("the wrong order"),
    case("fifty extras"),
    case("too many extras", "tls_failed"),
    case("a key of 1024 bits", "tls_weak_key"),
    case("a signature by SHA-1", "tls_weak_signature"),
    *(
        case(f"{name}, told that it is a warning", reason, DEGRADED, tls_findings="degraded")
        for name, reason in (
            ("expired, for another name", "tls_certificate_expired"),
            ("an intermediate left out", "tls_incomplete_chain"),
            ("a root that is not trusted", "tls_untrusted"),
            ("a key of 1024 bits", "tls_weak_key"),
            ("a signature by SHA-1", "tls_weak_signature"),
            ("one hour left", "tls_expiring"),
        )
    ),
    case("an intermediate, told that a finding is a warning", tls_findings="degraded"),
)
