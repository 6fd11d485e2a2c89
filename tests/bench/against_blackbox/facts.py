"""The facts that both report, side by side: what is compared must be the same work."""

import re

from libs.model.outcome import Outcome

# A series of blackbox_exporter, and where ours says the same: `sample`, `fact` of the last hop, or in words.
SAME = {
    "probe_success": "status",
    "probe_duration_seconds": "sample total_s",
    "probe_dns_lookup_time_seconds": "sample resolve_s (absent: an address needs none)",
    'probe_http_duration_seconds{phase="resolve"}': "sample resolve_s (absent: an address needs none)",
    'probe_http_duration_seconds{phase="connect"}': "sample connect_s",
    'probe_http_duration_seconds{phase="tls"}': "sample tls_s",
    'probe_http_duration_seconds{phase="processing"}': "sample first_byte_s",
    'probe_http_duration_seconds{phase="transfer"}': "sample transfer_s",
    "probe_http_status_code": "sample status_code",
    "probe_http_version": "fact http_version",
    "probe_http_redirects": "sample redirects",
    "probe_http_ssl": "fact tls_version (present with TLS)",
    "probe_http_content_length": "sample body_bytes (of what came, not what was announced)",
    "probe_http_uncompressed_body_length": "sample body_bytes (decoded_bytes when it was coded)",
    "probe_http_last_modified_timestamp_seconds": "not told",
    "probe_failed_due_to_regex": "reason body_mismatch",
    "probe_ip_protocol": "fact ip_protocol",
    "probe_ip_addr_hash": "address",
    "probe_tls_version_info": "fact tls_version",
    "probe_ssl_earliest_cert_expiry": "sample tls_expires_in_s",
    "probe_ssl_last_chain_expiry_timestamp_seconds": "sample tls_chain_expires_in_s",
    "probe_ssl_last_chain_info": "fact tls_fingerprint_sha256",
}
_LABELS = re.compile(r"\{(?!phase=).*\}")


def lines(series: dict[str, str], outcome: Outcome) -> list[str]:
    """Returns a line for each series: its name, its value, where ours says so, our value; then what only ours says."""
    hop = outcome.hops[-1]
    words: dict[str, object] = {f"sample {name}": value for name, value in outcome.samples.items()}
    words |= {f"fact {name}": value for name, value in hop.facts.items()}
    words |= {"status": outcome.status, "address": hop.address, "reason body_mismatch": "-"}
    found, told = [], set()
    for name, value in series.items():
        ours = SAME.get(_LABELS.sub("", name), "NOT MAPPED")
        key = " ".join(ours.split(" ")[:2])
        told.add(key)
        found.append(f"  {_LABELS.sub('{...}', name):<50}{value[:22]:<24}{ours}: {str(words.get(key, '-'))[:22]}")
    more = sorted(word.partition(" ")[2] for word in words if " " in word and word not in told)
    return [*found, f"  only ours: {', '.join(word for word in more if word != 'body_mismatch')}"]
