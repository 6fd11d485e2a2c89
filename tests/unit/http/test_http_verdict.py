"""Verdicts on hops, without a server."""

import errno
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Reason, Status
from libs.net.exchange import End, Phase
from libs.net.tls.findings import CertificateProblem
from libs.net.tls.sessions import TlsFailure, classify_error
from libs.net.verdict import connect_verdict, os_error
from services.http.client.exchange import HttpExchange
from services.http.client.request import first_request
from services.http.rules.text_search import TextSearch
from services.http.spec import HttpReason, HttpSpec
from services.http.verdict import judge


class FinishedConnection:
    end = End.COMPLETE
    phase = Phase.TRANSFER
    error = None
    answered = True


OURS = {
    errno.EMFILE: Reason.NO_DESCRIPTORS,
    errno.ENFILE: Reason.NO_DESCRIPTORS,
    errno.EADDRNOTAVAIL: Reason.NO_PORTS,
    errno.ENOBUFS: Reason.NO_BUFFERS,
    errno.ENOMEM: Reason.NO_BUFFERS,
    errno.ENETUNREACH: Reason.NO_ROUTE,
    errno.EHOSTUNREACH: Reason.NO_ROUTE,
    errno.EINVAL: Reason.NO_ROUTE,
    errno.EAFNOSUPPORT: Reason.NO_ROUTE,
    errno.EPERM: Reason.EGRESS_REFUSED,
}
THEIRS = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.REFUSED,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.ETIMEDOUT: Reason.CONNECT_TIMEOUT,
}


@pytest.mark.parametrize("code", OURS)
def test_errors_of_the_prober_are_unknown(code: int) -> None:
    assert connect_verdict(os_error(code), answered=False)[:2] == (Status.UNKNOWN, OURS[code])


@pytest.mark.parametrize("code", THEIRS)
def test_errors_of_the_target_are_down(code: int) -> None:
    assert connect_verdict(os_error(code), answered=True)[:2] == (Status.DOWN, THEIRS[code])


def test_an_unreachable_error_from_the_network_is_down() -> None:
    assert connect_verdict(os_error(errno.ENETUNREACH), answered=True)[:2] == (Status.DOWN, Reason.UNREACHABLE)


def test_an_unexpected_error_is_raised() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        connect_verdict(os_error(errno.EBADF), answered=True)


def test_a_secret_in_a_body_rule_is_not_in_the_detail() -> None:
    token = "tok-3nr.Zq/x"
    for options in ({"body_contains": (f"{token} moon",)}, {"body_lacks": (token,)}):
        spec = HttpSpec(url="http://a.example/", bearer_token=token, **options)  # type: ignore[arg-type]
        answer = HttpExchange(spec, first_request(spec))
        assert answer.on_data(f"HTTP/1.1 200 OK\r\nContent-Length: {len(token)}\r\n\r\n{token}".encode())
        found = judge(spec, FinishedConnection(), answer, has_roots=True)
        answer.release()
        assert (found.reason, token in found.detail) == (HttpReason.BODY_MISMATCH, False)
        assert "[redacted]" in found.detail


def test_every_tls_failure_is_a_reason_of_the_kind() -> None:
    assert {TlsReason(kind.value) for kind in (*TlsFailure, *CertificateProblem)} < set(TlsReason)


def test_an_unknown_verification_error_has_a_reason() -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code = 92
    assert classify_error(error) is CertificateProblem.CERTIFICATE_INVALID


@given(
    st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5), st.lists(st.text("ab", min_size=1, max_size=4))
)
def test_texts_are_found_however_the_body_is_split(body: bytes, cuts: list[int], wanted: list[str]) -> None:
    body = body.translate(bytes(97 + value % 2 for value in range(256)))
    texts = TextSearch(wanted, wanted)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(body)], strict=True):
        texts.feed(body[start:end])
    present = [text.encode() for text in wanted if text.encode() in body]
    assert texts.missing == [text.encode() for text in wanted if text.encode() not in body]
    assert (texts.found in present) if present else texts.found is None
