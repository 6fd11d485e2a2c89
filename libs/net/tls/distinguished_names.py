"""Distinguished names as text: RFC 4514, in the order and spelling of Go's crypto/x509.

The same texts as the labels of blackbox_exporter, by which Prometheus users identify certificates.
"""

from cryptography import x509
from cryptography.x509.oid import NameOID

# In output order, from the machine to the country.
_ATTRIBUTE_NAMES = {
    NameOID.SERIAL_NUMBER: "SERIALNUMBER",
    NameOID.COMMON_NAME: "CN",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.POSTAL_CODE: "POSTALCODE",
    NameOID.STREET_ADDRESS: "STREET",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.COUNTRY_NAME: "C",
}
# Single-valued attributes: the last value wins.
_SINGLE_VALUED = frozenset({NameOID.SERIAL_NUMBER, NameOID.COMMON_NAME})
_ESCAPED_CHARACTERS = frozenset(',+"\\<>;')
_PRINTABLE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
_PRINTABLE_STRING, _UTF8_STRING = 19, 12


def format_dn(name: x509.Name) -> str:
    """Returns the known attributes in a fixed order, repeated ones joined by "+", then others as OID=#hex of DER."""
    parts = []
    for oid, word in _ATTRIBUTE_NAMES.items():
        values = [str(each.value) for each in name.get_attributes_for_oid(oid)]
        values = values[-1:] if oid in _SINGLE_VALUED else values
        if values:
            parts.append("+".join(f"{word}={_escape(value)}" for value in values))
    others = [each for each in name if each.oid not in _ATTRIBUTE_NAMES]
    return ",".join(parts + [f"{each.oid.dotted_string}=#{_encode_der(each).hex()}" for each in reversed(others)])


def _escape(value: str) -> str:
    """Returns `value` escaped by RFC 4514 section 2.4."""
    last = len(value) - 1
    return "".join(
        f"\\{char}"
        if char in _ESCAPED_CHARACTERS or (char == " " and at in (0, last)) or (char == "#" and at == 0)
        else char
        for at, char in enumerate(value)
    )


def _encode_der(attribute: x509.NameAttribute[str | bytes]) -> bytes:
    """Returns the value in DER as Go re-encodes it: PrintableString if its alphabet allows, UTF8String otherwise."""
    value = attribute.value
    data = value if isinstance(value, bytes) else value.encode()
    tag = _PRINTABLE_STRING if _PRINTABLE.issuperset(data) else _UTF8_STRING
    return bytes((tag, *_encode_length(len(data)))) + data


def _encode_length(size: int) -> bytes:
    if size < 128:
        return bytes((size,))
    digits = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((0x80 | len(digits),)) + digits
