"""TLS reasons and facts that all kinds share."""

from enum import StrEnum


class TlsReason(StrEnum):
    """Reasons of TLS failures and certificate findings, for every kind that uses TLS."""

    TLS_TIMEOUT = "tls_timeout"  # connected, but the handshake did not finish
    TLS_RESET = "tls_reset"  # reset or closed inside the handshake
    TLS_CERTIFICATE_EXPIRED = "tls_certificate_expired"  # a certificate of the chain has expired
    TLS_CERTIFICATE_NOT_YET_VALID = "tls_certificate_not_yet_valid"  # a certificate of the chain is not valid yet
    TLS_HOSTNAME_MISMATCH = "tls_hostname_mismatch"  # the certificate is for another name or address
    TLS_SELF_SIGNED = "tls_self_signed"  # the certificate is signed by itself
    TLS_UNTRUSTED = "tls_untrusted"  # no authority that this machine trusts stands behind the chain
    TLS_INCOMPLETE_CHAIN = "tls_incomplete_chain"  # the server left out a certificate between its own and a root
    TLS_WEAK_KEY = "tls_weak_key"  # a key of the chain is shorter than is safe
    TLS_WEAK_SIGNATURE = "tls_weak_signature"  # a signature of the chain is by MD5 or SHA-1
    TLS_CERTIFICATE_INVALID = "tls_certificate_invalid"  # verification failed in another way; the detail says how
    TLS_EXPIRING = "tls_expiring"  # `degraded`: little of a certificate's lifetime is left
    TLS_CLIENT_CERTIFICATE_REQUIRED = "tls_client_certificate_required"  # the server wants a certificate of ours
    TLS_CLIENT_CERTIFICATE_REFUSED = "tls_client_certificate_refused"  # the server does not take ours
    TLS_NOT_SPOKEN = "tls_not_spoken"  # what came back is not TLS, often plain text on a TLS port
    TLS_FAILED = "tls_failed"  # the handshake failed; the detail has the alert
    # Ours: `unknown`, never `down`.
    NO_TRUST_STORE = "no_trust_store"  # this machine has no root certificates to judge a chain by


# Facts of hops that say the same at every tick of a healthy target.
STATIC_TLS_FACTS = frozenset(
    {
        *("tls_subject", "tls_names", "tls_serial", "tls_spki_sha256", "tls_key", "tls_signature", "tls_begins_at"),
        *(
            "tls_subject_dn",
            "tls_issuer_dn",
            "tls_chain_sent_expires_at",
            "tls_must_staple",
            "tls_chain_sent",
            "tls_chain_disordered",
            "tls_chain_extra",
            "tls_chain_root_sent",
        ),
        *(f"tls_chain_{place}" for place in range(1, 7)),
    }
)
