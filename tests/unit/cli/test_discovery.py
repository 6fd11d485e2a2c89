"""Discovery of kinds by URL scheme."""

import pytest

from libs.cli import discovery
from libs.kinds.registry import kinds
from libs.model.spec import Spec


class OtherSpec(Spec, frozen=True, kw_only=True, tag="other"):
    schemes = ("http",)

    @property
    def target(self) -> str:
        return "other"


def test_every_scheme_belongs_to_the_kind_that_lists_it() -> None:
    found = discovery.specs_by_scheme()
    assert found["http"].__struct_config__.tag == "http"
    assert found["ssh"].__struct_config__.tag == "port"
    assert set(found) == {scheme for spec in kinds().values() for scheme in spec.schemes}


def test_a_scheme_that_two_kinds_claim_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "kinds", lambda: {**kinds(), "other": OtherSpec})
    with pytest.raises(TypeError, match=r"services/other/spec\.py: the scheme 'http' belongs to kind 'http'"):
        discovery.specs_by_scheme()
