"""`vedette check URL`: runs one probe without a server and prints the outcome as text or JSON."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import msgspec
import structlog

from libs.cli import discovery, waterfall
from libs.kinds.registry import decode_spec
from libs.model.outcome import Outcome, Reason, Status
from libs.model.spec import Spec
from libs.process.settings import Settings
from libs.process.signals import EXIT_FAILED, EXIT_OK

# A probe answers by itself in time; one that does not is ended this much later.
_GRACE_S = 1.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class CheckOptions:
    """What the command line asks for. `fields` are options of the kind, by the name of the spec's field."""

    url: str
    timeout_s: float
    fields: dict[str, Any]
    as_json: bool
    colored: bool = False


def build_spec(question: CheckOptions) -> Spec:
    """Returns the spec that is meant, or raises ValueError that says what is wrong with the URL or a field."""
    known = discovery.specs_by_scheme()
    scheme = urlsplit(question.url).scheme.lower()
    if scheme not in known:
        listed = ", ".join(f"{name}://" for name in sorted(known))
        raise ValueError(f"{question.url!r} is nothing that can be checked: it must start with {listed}")
    spec = known[scheme].from_url(question.url)
    if not question.fields:
        return spec
    fields = {name: _coerce_option(spec, name, value) for name, value in question.fields.items()}
    return decode_spec(msgspec.json.encode({**msgspec.to_builtins(spec), **fields}))


def _coerce_option(spec: Spec, name: str, value: Any) -> Any:
    """Returns a whole number as text where the field takes text alone: `--set family=4`."""
    hint = get_type_hints(type(spec)).get(name)
    if hint is None or type(value) is not int:
        return value
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return str(value)


async def check(spec: Spec, question: CheckOptions, settings: Settings) -> int:
    """Probes once and prints the outcome; returns the exit code."""
    outcome = await _run_probe(spec, question.timeout_s, settings)
    if question.as_json:
        text = msgspec.json.format(msgspec.json.encode(_to_json(spec, outcome)), indent=2).decode()
    else:
        text = waterfall.render(spec.target, outcome, colored=question.colored)
    _print(text)
    return EXIT_OK if outcome.status is Status.UP else EXIT_FAILED


def _print(text: str) -> None:
    """Prints the answer, also to a reader who leaves early, such as `head`."""
    try:
        print(text, flush=True)  # noqa: T201 - the answer
    except BrokenPipeError:
        # What is left in the buffer would be tried again when the interpreter ends, and be told on stderr.
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


async def _run_probe(spec: Spec, timeout_s: float, settings: Settings) -> Outcome:
    async with discovery.create_probe(spec, settings) as probe:
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S):
                return await probe(spec, timeout_s)
        except TimeoutError:
            return _crashed(f"The probe gave no answer within {timeout_s:g} s.")
        except Exception as error:  # noqa: BLE001 - a bug in the probe is an answer, too
            _log.exception("check.crashed")
            return _crashed(f"The probe crashed: {error!r}")


def _crashed(detail: str) -> Outcome:
    return Outcome(status=Status.UNKNOWN, reason=Reason.PROBE_CRASHED, detail=detail)


def _to_json(spec: Spec, outcome: Outcome) -> dict[str, Any]:
    return {
        "target": spec.target,
        "status": outcome.status,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "samples": outcome.samples,
        "hops": outcome.hops,
    }
