"""How long a probe may take, by what Prometheus says of its scrape. Pure."""

import math

from libs.model.requests.errors import ErrorCode, RequestError
from services.gateway.dialects.native.schemas import TIMEOUT_S_MAX, TIMEOUT_S_MIN

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
# Prometheus's own default, for whoever does not say.
DEFAULT_SCRAPE_S = 10.0
# A probe ends this long before the scrape does, as with blackbox_exporter: an answer that comes too late is none.
OFFSET_S = 0.5
# Of that, the last moment is for the way back to Prometheus.
_RESPONSE_S = 0.1
_ROUND_TRIP_S = 2.0


def scrape_timeout_s(header: str) -> float:
    """Returns after how many seconds the scrape is given up; refuses a header that is no number."""
    try:
        seconds = float(header) if header else DEFAULT_SCRAPE_S
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise RequestError(ErrorCode.INVALID, "must be a number of seconds", TIMEOUT_HEADER)
    return seconds or DEFAULT_SCRAPE_S


def probe_timeout_s(module_s: float | None, scrape_s: float) -> float:
    """Returns the seconds for the probe: the scrape's less the offset, or the module's if those are fewer.

    A scrape that is shorter than the offset leaves the module's timeout as it is.
    """
    longest_s = scrape_s - OFFSET_S
    chosen_s = longest_s if module_s is None or 0 < longest_s < module_s else module_s
    return min(max(chosen_s, TIMEOUT_S_MIN), TIMEOUT_S_MAX)


def result_wait_s(timeout_s: float, scrape_s: float) -> float:
    """Returns how long to wait for a result: the probe's own time, and what the scrape leaves for the way there."""
    return timeout_s + min(max(scrape_s - timeout_s, OFFSET_S) - _RESPONSE_S, _ROUND_TRIP_S)
