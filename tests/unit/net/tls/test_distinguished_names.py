"""Distinguished names as Go formats them; the expected texts are from blackbox_exporter 0.23."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from libs.net.tls.distinguished_names import format_dn

OWN = x509.ObjectIdentifier("1.3.6.1.4.1.311.60.2.1.3")


def name(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def test_the_order_of_attributes_is_fixed() -> None:
    parts = [
        *((NameOID.COUNTRY_NAME, "DE"), (NameOID.STATE_OR_PROVINCE_NAME, "Berlin"), (NameOID.LOCALITY_NAME, "Berlin")),
        *((NameOID.STREET_ADDRESS, "Weg 1"), (NameOID.POSTAL_CODE, "10115"), (NameOID.ORGANIZATION_NAME, " Org, Inc.")),
        *((NameOID.COMMON_NAME, "#localhost"), (NameOID.SERIAL_NUMBER, "HRB 1")),
    ]
    expected = r"SERIALNUMBER=HRB 1,CN=\#localhost,O=\ Org\, Inc.,POSTALCODE=10115,STREET=Weg 1,L=Berlin,ST=Berlin,C=DE"
    assert format_dn(name(*parts)) == expected
    assert format_dn(name(*reversed(parts))) == expected


def test_values_of_one_attribute_are_joined() -> None:
    units = name((NameOID.ORGANIZATIONAL_UNIT_NAME, "u1"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "u2"))
    assert format_dn(units) == "OU=u1+OU=u2"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('Moravia, "South" + <x>; #1', r"Moravia\, \"South\" \+ \<x\>\; #1"),
        ("A b  ", r"A b \ "),
        ("Root \\ é", r"Root \\ é"),
        (" ", r"\ "),
    ],
)
def test_special_characters_are_escaped(value: str, expected: str) -> None:
    assert format_dn(name((NameOID.COMMON_NAME, value))) == f"CN={expected}"


def test_unknown_attributes_are_oids_with_der_values() -> None:
    parts = [(NameOID.DOMAIN_COMPONENT, "example"), (NameOID.EMAIL_ADDRESS, "me@example.org"), (OWN, "DE")]
    assert format_dn(name((NameOID.COMMON_NAME, "a"), *parts)) == (
        "CN=a,1.3.6.1.4.1.311.60.2.1.3=#13024445,1.2.840.113549.1.9.1=#0c0e6d65406578616d706c652e6f7267,"
        "0.9.2342.19200300.100.1.25=#13076578616d706c65"
    )
    assert format_dn(name((NameOID.TITLE, "x" * 200))).startswith("2.5.4.12=#1381c878")
