"""The certificates of a TLS session, which Python shows only in part."""

import ssl


def chain(tls: ssl.SSLObject, method: str) -> list[bytes]:
    """Returns certificates in DER. The methods became public with Python 3.13."""
    public = getattr(tls, method, None)
    if public is not None:
        return list(public() or ())
    private = getattr(tls._sslobj, method)()  # type: ignore[attr-defined]  # noqa: SLF001
    return [certificate.public_bytes(2) for certificate in private or ()]  # 2 is _ssl.ENCODING_DER
