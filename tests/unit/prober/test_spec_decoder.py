"""Sealed secrets are opened for the check they were sealed for; else the check is `unknown`."""

from typing import Any

import msgspec
import pytest

from libs.model.check import Check
from libs.model.fields import sealed_secrets
from libs.model.outcome import Outcome, Reason, Status
from libs.model.spec import Spec
from libs.prober.spec_decoder import SpecDecoder
from libs.sealing.keys import new_key
from libs.sealing.sealer import Sealer


class VaultSpec(Spec, frozen=True, kw_only=True, tag="vault"):
    """A kind with a secret."""

    secret_options = ("password",)

    host: str
    password: str | None = None

    def __post_init__(self) -> None:
        if self.password == "bad SECRET":
            raise ValueError(f"password must not be {self.password}")

    @property
    def target(self) -> str:
        return self.host


SEALER = Sealer.from_texts([new_key()])
CONTEXT = ("t1", "vault", ("password",), "a.example")


def check(**options: Any) -> Check:
    spec = msgspec.Raw(msgspec.json.encode({"kind": "vault", "host": "a.example", **options}))
    fields: dict[str, Any] = {"monitor_id": "m", "location": "l", "revision": 1, "interval_s": 60, "timeout_s": 5}
    return Check(tenant_id="t1", kind="vault", spec=spec, **fields)


def sealed_secret(value: object = "SECRET", context: tuple[Any, ...] = CONTEXT) -> dict[str, str]:
    text = SEALER.seal(msgspec.json.encode(value), sealed_secrets.sealing_context(*context))
    return {"sealed": text, "for": context[-1]}


def decode(made: Check, sealer: Sealer = SEALER) -> Spec | Outcome:
    return SpecDecoder(VaultSpec, sealer).decode(made)


def test_a_spec_is_decoded_with_and_without_secrets() -> None:
    assert decode(check()) == VaultSpec(host="a.example")
    assert decode(check(password=sealed_secret())) == VaultSpec(host="a.example", password="SECRET")
    assert decode(check(password=None)) == VaultSpec(host="a.example")


@pytest.mark.parametrize(
    ("sealer", "words"),
    [(Sealer.from_texts([new_key()]), "which is not among our 1"), (Sealer([]), "which is not among our 0")],
)
def test_without_the_key_a_check_is_unknown(sealer: Sealer, words: str) -> None:
    outcome = decode(check(password=sealed_secret()), sealer)
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, Reason.SECRET_UNREADABLE)
    assert "password" in outcome.detail
    assert words in outcome.detail


@pytest.mark.parametrize("place", range(4))
def test_a_secret_sealed_for_another_context_is_unknown(place: int) -> None:
    moved: list[Any] = list(CONTEXT)
    moved[place] = ("other",) if place == 2 else "other"
    value = sealed_secret(context=tuple(moved)) | {"for": "a.example"}
    outcome = decode(check(password=value))
    assert isinstance(outcome, Outcome)
    assert outcome.reason == Reason.SECRET_UNREADABLE
    assert "altered, or sealed for something else" in outcome.detail


def test_a_secret_is_not_sent_to_a_target_it_was_not_given_for() -> None:
    outcome = decode(check(password=sealed_secret(), host="evil.example"))
    assert isinstance(outcome, Outcome)
    assert outcome.reason == Reason.SECRET_UNREADABLE
    assert "SECRET" not in outcome.detail
    assert "evil.example" in outcome.detail


@pytest.mark.parametrize("options", [{"password": {"sealed": True}}, {"surprise": "sealed"}, {"host": {"sealed": "x"}}])
def test_an_invalid_spec_is_rejected_even_if_it_contains_the_seal_mark(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"spec|unknown field"):
        decode(check(**options))


def test_an_invalid_secret_is_not_in_the_error() -> None:
    with pytest.raises(ValueError, match="not one of this kind") as caught:
        decode(check(password=sealed_secret("bad SECRET")))
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__
