import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bus.auth.nkeys import new_seed
from libs.process.settings import Settings, env_name, load

KEYS = tuple(base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def test_an_empty_environment_gives_the_defaults():
    assert load({}) == Settings()


def test_variables_of_other_programs_are_ignored():
    assert load({"PATH": "/bin", "PORT": "1", "vedette_port": "2"}) == Settings()


@given(st.integers(min_value=0, max_value=65535))
def test_numbers_are_parsed_from_text(port: int):
    assert load({"VEDETTE_PORT": str(port)}).port == port


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("VEDETTE_PORT", "http", "a whole number from 0 to 65535"),
        ("VEDETTE_PORT", "65536", "a whole number from 0 to 65535"),
        ("VEDETTE_PORT", "", "a whole number from 0 to 65535"),
        ("VEDETTE_PORT", "80.5", "a whole number from 0 to 65535"),
        ("VEDETTE_SHUTDOWN_GRACE_S", "-1", "a number from 0 to 600"),
        ("VEDETTE_SHUTDOWN_GRACE_S", "nan", "a number from 0 to 600"),
        ("VEDETTE_SHUTDOWN_GRACE_S", "inf", "a number from 0 to 600"),
        ("VEDETTE_RESULTS_BYTES_MAX", "1", "a whole number, at least 1048576"),
        ("VEDETTE_LOG_LEVEL", "loud", "one of debug, error, info, warning"),
        ("VEDETTE_API_DOCS", "maybe", "true or false"),
        ("VEDETTE_LOCATION", "a.b", "text like"),
        ("VEDETTE_NATS_URL", "http://nats", "text like"),
    ],
)
def test_the_error_for_an_invalid_value_names_the_variable_and_the_allowed_values(name: str, text: str, allowed: str):
    with pytest.raises(ValueError, match=name) as caught:
        load({name: text})
    assert allowed in str(caught.value)


def test_the_error_for_a_misspelt_variable_suggests_the_likely_one():
    with pytest.raises(ValueError, match="VEDETTE_PROT is not a setting; did you mean VEDETTE_PORT"):
        load({"VEDETTE_PROT": "1"})


def test_an_invalid_secret_is_not_in_the_error():
    with pytest.raises(ValueError, match="VEDETTE_POSTGRES_DSN") as caught:
        load({"VEDETTE_POSTGRES_DSN": "mysql://u:hunter2@h"})
    assert "hunter2" not in str(caught.value)


def test_secrets_can_be_read_from_files(tmp_path: Path):
    file = tmp_path / "dsn"
    file.write_text("postgresql://u@h/d\n")
    assert load({"VEDETTE_POSTGRES_DSN_FILE": str(file)}).postgres_dsn == "postgresql://u@h/d"


def test_the_error_for_an_unreadable_secret_file_names_it(tmp_path: Path):
    with pytest.raises(ValueError, match="VEDETTE_NATS_PASSWORD_FILE names the file"):
        load({"VEDETTE_NATS_PASSWORD_FILE": str(tmp_path / "missing")})


def test_only_secrets_have_files():
    with pytest.raises(ValueError, match="VEDETTE_PORT_FILE is not a setting"):
        load({"VEDETTE_PORT_FILE": "/dev/null"})


def test_a_password_is_inserted_into_every_url_with_a_user_without_one():
    settings = load(
        {
            "VEDETTE_NATS_URL": "nats://app@a:4222,nats://app@b:4222,nats://x:own@c",
            "VEDETTE_NATS_PASSWORD": "p/w@1",
            "VEDETTE_POSTGRES_DSN": "postgresql://v@db/v",
            "VEDETTE_POSTGRES_PASSWORD": "s",
        }
    )
    assert settings.nats_url == "nats://app:p%2Fw%401@a:4222,nats://app:p%2Fw%401@b:4222,nats://x:own@c"
    assert settings.postgres_dsn == "postgresql://v:s@db/v"


def test_sealing_keys_are_separated_by_lines_or_commas(tmp_path: Path):
    file = tmp_path / "keys"
    file.write_text(f"{KEYS[0]}\n{KEYS[1]}\n")
    assert load({"VEDETTE_SEALING_KEYS_FILE": str(file)}).sealing_keys == KEYS
    assert load({"VEDETTE_SEALING_KEYS": ", ".join(KEYS)}).sealing_keys == KEYS
    assert load({"VEDETTE_SEALING_KEYS": ""}).sealing_keys == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hunter2", "key 1"),
        (f"{KEYS[0]},hunter2!", "of key 2: it is not base64"),
        ("aHVudGVyMg==", "7 bytes and not 32"),
    ],
)
def test_an_invalid_sealing_key_is_rejected_and_not_in_the_error(text: str, words: str):
    with pytest.raises(ValueError, match="VEDETTE_SEALING_KEYS must hold base64 of 32 bytes for each key") as caught:
        load({"VEDETTE_SEALING_KEYS": text})
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert KEYS[0] not in str(caught.value)


def test_no_secret_is_in_the_repr():
    settings = load({"VEDETTE_NATS_URL": "nats://u:hunter2@h", "VEDETTE_POSTGRES_DSN": "postgresql://u:hunter2@h"})
    assert "hunter2" not in repr(settings)
    assert KEYS[0] not in repr(load({"VEDETTE_SEALING_KEYS": KEYS[0]}))


def test_command_line_options_take_precedence_and_none_means_unset():
    settings = load({"VEDETTE_PORT": "1", "VEDETTE_HOST": "::1"}, port=2, host=None)
    assert (settings.port, settings.host) == (2, "::1")


def test_lists_are_separated_by_commas():
    assert load({"VEDETTE_RESOLVERS": " 10.0.0.1, 10.0.0.2 ,"}).resolvers == ("10.0.0.1", "10.0.0.2")


def test_networks_are_validated_when_the_environment_is_read():
    settings = load({"VEDETTE_EGRESS_ALLOW": "10.0.0.0/8, fd00::/8", "VEDETTE_EGRESS_DENY": "192.0.2.1"})
    assert (settings.egress_allow, settings.egress_deny) == (("10.0.0.0/8", "fd00::/8"), ("192.0.2.1",))
    with pytest.raises(ValueError, match=r"VEDETTE_EGRESS_DENY must hold ranges such as .*10\.0\.0\.1/8 has host bits"):
        load({"VEDETTE_EGRESS_DENY": "10.0.0.1/8"})
    with pytest.raises(ValueError, match="is IPv4 in IPv6"):
        load({"VEDETTE_EGRESS_DENY": "::ffff:10.0.0.0/104"})


def test_rollups_cannot_expire_before_their_results():
    said = "VEDETTE_HOURLY_KEEP_DAYS is 120, but must be at least VEDETTE_RESULTS_KEEP_DAYS, which is 200"
    with pytest.raises(ValueError, match=said):
        load({"VEDETTE_RESULTS_KEEP_DAYS": "200"})
    days = load({"VEDETTE_RESULTS_KEEP_DAYS": "3", "VEDETTE_HOURLY_KEEP_DAYS": "3"})
    assert (days.results_keep_days, days.hourly_keep_days) == (3, 3)


def test_every_default_is_valid():
    for name in Settings.__struct_fields__:
        value = getattr(Settings(), name)
        text = ",".join(value) if isinstance(value, tuple) else str(value).lower() if value is not None else ""
        assert getattr(load({env_name(name): text if name != "data_dir" else value}), name) == value


def test_the_user_in_the_system_account_has_its_own_password():
    settings = load({"VEDETTE_NATS_SYSTEM_URL": "nats://system@a", "VEDETTE_NATS_SYSTEM_PASSWORD": "s"})
    assert settings.nats_system_url == "nats://system:s@a"
    assert "system:s" not in repr(settings)


def test_an_invalid_issuer_is_rejected_and_not_in_the_error():
    seed = new_seed()
    assert load({"VEDETTE_NATS_ISSUER": seed}).nats_issuer == seed
    with pytest.raises(ValueError, match="VEDETTE_NATS_ISSUER must be the seed of an account nkey") as caught:
        load({"VEDETTE_NATS_ISSUER": seed[:-1]})
    assert seed[:-1] not in str(caught.value)


@pytest.mark.parametrize("listen", ["", "4222", "localhost", "::1:4222", ":4222", "a:b", "a:123456"])
def test_an_invalid_listen_address_is_rejected(listen: str):
    with pytest.raises(ValueError, match="VEDETTE_NATS_LISTEN"):
        load({"VEDETTE_NATS_LISTEN": listen})


@pytest.mark.parametrize("listen", ["0.0.0.0:4222", "127.0.0.1:0", "[::1]:4222", "nats.example.org:1"])
def test_valid_listen_addresses(listen: str):
    assert load({"VEDETTE_NATS_LISTEN": listen}).nats_listen == listen
