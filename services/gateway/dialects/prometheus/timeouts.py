"""Timeouts of a probe, derived from the timeout of the Prometheus scrape. Pure."""

import math

from libs.model.requests.errors import ErrorCode, RequestError
from services.gateway.dialects.native.schemas import TIMEOUT_S_MAX, TIMEOUT_S_MIN

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
# The default scrape timeout of Prometheus.
DEFAULT_SCRAPE_S = 10.0
# A probe ends this long before the scrape times out, like in blackbox_exporter.
OFFSET_S = 0.5
# Part of the offset that is reserved for the response to Prometheus.
_RESPONSE_S = 0.1
_ROUND_TRIP_S = 2.0


def scrape_timeout_s(header: str) -> float:
    """Parses the scrape timeout header; refuses a value that is not a number."""
    try:
        seconds = float(header) if header else DEFAULT_SCRAPE_S
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise RequestError(ErrorCode.INVALID, "must be a number of seconds", TIMEOUT_HEADER)
    return seconds or DEFAULT_SCRAPE_S


def probe_timeout_s(module_s: float | None, scrape_s: float) -> float:
    """Returns the probe timeout: the scrape timeout less `OFFSET_S`, or the module's timeout if that is shorter.

    If the scrape timeout is shorter than the offset, the module's timeout applies.
    """
    longest_s = scrape_s - OFFSET_S
    chosen_s = longest_s if module_s is None or 0 < longest_s < module_s else module_s
    return min(max(chosen_s, TIMEOUT_S_MIN), TIMEOUT_S_MAX)


def result_wait_s(timeout_s: float, scrape_s: float) -> float:
    """Returns how long to wait for the result: the probe timeout and the rest of the scrape timeout for the bus."""
    return timeout_s + min(max(scrape_s - timeout_s, OFFSET_S) - _RESPONSE_S, _ROUND_TRIP_S)
