"""Report of `debug=true`: the details of one probe as text. Pure."""

import msgspec

from libs.model.check import Result
from services.gateway.dialects.prometheus.metrics import render_metrics
from services.gateway.dialects.prometheus.modules import ProbeModule


def debug_report(module: ProbeModule, result: Result) -> bytes:
    """Returns the result as text. Option values of the module are omitted: they may be secret."""
    options = ", ".join(module.options) or "none"
    seen = {
        "detail": result.detail,
        "started_at": result.started_at,
        "duration_s": result.duration_s,
        "prober": result.prober,
        "location": result.location,
        "samples": result.samples,
        "hops": result.hops,
    }
    details = msgspec.json.format(msgspec.json.encode(seen), indent=2).decode()
    parts = (
        f"Module {module.name}: kind {module.kind}, options: {options}",
        f"Result: {result.status}, {result.reason}\n{details}",
        f"Metrics that would have been returned:\n{render_metrics(result).decode()}",
    )
    return "\n\n".join(parts).encode()
