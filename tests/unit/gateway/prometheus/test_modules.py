"""Probe modules: presets, and validation of the file."""

import inspect
import re
from pathlib import Path

import msgspec
import pytest

from libs.kinds.registry import kinds, prometheus_modules
from libs.model.requests.errors import RequestError
from libs.sealing.sealer import Sealer
from services.gateway.dialects.prometheus import dialect
from services.gateway.dialects.prometheus.modules import load_modules
from services.gateway.spec_intake import SpecIntake
from services.gateway.web.strict_body import spec_class


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "modules.toml"


def test_without_a_file_there_are_the_presets_of_the_kinds() -> None:
    assert set(load_modules()) == set(prometheus_modules()) >= {"http_2xx", "http_post_2xx"}


@pytest.mark.parametrize("name", prometheus_modules())
def test_every_preset_aims_at_the_sample_of_its_kind(name: str) -> None:
    module = load_modules()[name]
    assert spec_class(module.spec(kinds()[module.kind].sample_target), "") is kinds()[module.kind]


def test_a_file_changes_presets_and_adds_modules(file: Path) -> None:
    file.write_text(
        '[http_2xx]\ntimeout_s = 5\nredirects_max = 0\n[login]\nkind = "http"\nlocation = "eu"\nbody_contains = ["ok"]\n'
    )
    found = load_modules(str(file))
    spec = msgspec.json.decode(found["http_2xx"].spec("a.example"))
    assert (found["http_2xx"].timeout_s, spec["redirects_max"], spec["expect_status"]) == (5.0, 0, ["200-299"])
    assert (found["login"].location, dict(found["login"].options)) == ("eu", {"body_contains": ["ok"]})
    assert found["http_post_2xx"] == load_modules()["http_post_2xx"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\n", "a.kind: must be one of http"),
        ('[a]\nkind = "carrier pigeon"\n', "a.kind: must be one of http"),
        ("a = 1\n", "a: must be a table, [a], of the options of a kind"),
        ("[http_2xx]\nredirect_max = 1\n", "http_2xx.redirect_max: is not a known field; allowed: "),
        ('[http_2xx]\nredirects_max = "1"\n', "http_2xx.redirects_max: Expected `int`, got `str`"),
        ("[http_2xx]\nredirects_max = 21\n", "http_2xx.redirects_max: must be from 0 to 20"),
        ('[http_2xx]\nurl = "http://a/"\n', "http_2xx.url: is set by the parameter target"),
        ("[http_2xx]\ntimeout_s = 0\n", "http_2xx.timeout_s: must be a number from 0.1 to 60"),
        ("[http_2xx]\ntimeout_s = true\n", "http_2xx.timeout_s: must be a number from 0.1 to 60"),
        ('[http_2xx]\nlocation = "a.b"\n', "http_2xx.location: must be 1 to 64 letters"),
        ('[http_2xx]\nbearer_token = ""\n', "http_2xx.bearer_token: must be"),
        ("[http_2xx\n", "is not TOML: "),
    ],
)
def test_errors_contain_the_file_the_module_and_the_field(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(ValueError, match=r"\.toml: ") as caught:
        load_modules(str(file))
    assert str(caught.value).startswith(f"{file}: {said}")


def test_a_secret_without_a_sealing_key_is_refused_at_startup(file: Path) -> None:
    file.write_text('[mine]\nkind = "http"\nheaders = { Accept = "a", X-Api-Key = "s3cret" }\n')
    assert "mine" in load_modules(str(file))
    with pytest.raises(
        ValueError, match=r"mine\.headers\.X-Api-Key: is a secret, and .* VEDETTE_SEALING_KEYS"
    ) as caught:
        load_modules(str(file), seals=False)
    assert "s3cret" not in str(caught.value)


def test_the_example_of_the_readme_is_one(file: Path) -> None:
    readme = (Path(inspect.getfile(dialect)).parents[2] / "README.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    file.write_text(example)
    assert {"http_2xx", "login_page"} <= set(load_modules(str(file)))


def test_a_missing_file_is_reported() -> None:
    with pytest.raises(ValueError, match=r"^/nowhere/m\.toml: cannot be read: No such file or directory$"):
        load_modules("/nowhere/m.toml")


@pytest.mark.parametrize("target", ["http://user@host/", "http://a b/", "https://", "[::1", "a" * 9000])
def test_a_target_that_cannot_be_is_refused_with_its_field(target: str) -> None:
    with pytest.raises(RequestError) as caught:
        SpecIntake(Sealer.from_texts([]), "t").accept(load_modules()["http_2xx"].spec(target), "http_2xx")
    assert caught.value.info.field == "http_2xx.url"
