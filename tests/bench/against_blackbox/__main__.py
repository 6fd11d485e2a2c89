"""CPU of one check, ours and blackbox_exporter's, in turns on one nginx: `python -m tests.bench.against_blackbox`.

Needs nginx and prometheus-blackbox-exporter on the path (Debian: nginx-light, prometheus-blackbox-exporter).

Ours is HttpProbe in a loop, without NATS (`tests.bench.prober_loop` has that). Theirs is the whole process, which is
what one pays for. Its HTTP front is measured in the same rounds, as a health check and as a request for an unknown
module; the dearer one is taken off, and the goals are held against what is left. Below that stands a floor: without
the registry and the rendering either, which a target that is no URL pays for before any packet is sent.
"""

import argparse
import os
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from OpenSSL import SSL

from services.http.spec import HttpSpec
from tests.bench.against_blackbox import facts
from tests.bench.against_blackbox.servers import LATE_S, PAGE, Targets, running
from tests.bench.against_blackbox.sides import NO_TARGET, Cost, Load, Ours, Theirs
from tests.bench.against_blackbox.table import FRONTS, NO_PACKET, OURS, WHOLE, dearest, less, show, show_ratio, take

_LATE_AT_ONCE = 200


def main() -> None:
    options = _options()
    with running() as (targets, blackbox), Ours(targets.ca_file) as ours:
        theirs = Theirs(blackbox)
        bench = _Bench(ours, theirs, options.rounds)
        print("The facts of both, of one check over TLS\n")
        print("\n".join(facts.lines(theirs.series(targets.ecdsa, "http"), ours.outcome(HttpSpec(url=targets.ecdsa)))))
        print(f"\n{options.rounds} rounds, {options.concurrency} checks at a time, a page of {len(PAGE)} bytes")
        print(
            f"ours with {SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()}, the load average is {os.getloadavg()[0]:.1f}"
        )
        plain, secure = Load(options.plain, options.concurrency), Load(options.https, options.concurrency)
        bench.compare("Plain HTTP", HttpSpec(url=targets.plain), plain, goal=1 / 5)
        bench.compare("HTTPS, fresh handshake, RSA 2048", HttpSpec(url=targets.rsa), secure, goal=2 / 3)
        bench.compare("HTTPS, fresh handshake, ECDSA P-256", HttpSpec(url=targets.ecdsa), secure, goal=2 / 3)
        spec = _http2(targets)
        if spec is not None:
            bench.compare("HTTP/2, fresh handshake, ECDSA P-256", spec, secure, module="http2")
        bench.compare_late(targets, options.late)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.against_blackbox")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--concurrency", type=int, default=20)
    parser.add_argument("--plain", type=int, default=1000, help="checks in a round over plain HTTP")
    parser.add_argument("--https", type=int, default=500, help="checks in a round over HTTPS")
    parser.add_argument("--late", type=int, default=400, help="checks in a round that time out")
    return parser.parse_args()


def _http2(targets: Targets) -> HttpSpec | None:
    """Returns a spec that asks for HTTP/2, if the kind can."""
    if "http_version" not in HttpSpec.__struct_fields__:
        return None
    return msgspec.convert({"url": targets.http2, "http_version": "2"}, HttpSpec)


class _Bench(NamedTuple):
    """The two sides and how often they take turns."""

    ours: Ours
    theirs: Theirs
    rounds: int

    def compare(
        self, title: str, spec: HttpSpec, load: Load, *, module: str = "http", goal: float | None = None
    ) -> None:
        costs = take(self._sides(spec, load, module), self.rounds)
        front = dearest(costs, FRONTS)
        show(title, costs)
        show_ratio("vedette / whole", costs[OURS], costs[WHOLE])
        show_ratio(f"vedette / whole - {front}", costs[OURS], less(costs, front), goal)
        show_ratio(f"vedette / whole - {NO_PACKET}", costs[OURS], less(costs, NO_PACKET), goal)

    def compare_late(self, targets: Targets, checks: int) -> None:
        """Compares checks that time out with those that succeed, each with its own kind."""
        good = Load(checks, _LATE_AT_ONCE, LATE_S)
        late = good._replace(succeeds=False)
        sides = {
            "vedette, up": lambda: self.ours.run(HttpSpec(url=targets.plain), good),
            "vedette, timed out": lambda: self.ours.run(HttpSpec(url=targets.silent), late),
            "blackbox, up": lambda: self.theirs.probe(targets.plain, "late", good),
            "blackbox, timed out": lambda: self.theirs.probe(targets.silent, "late", late),
        }
        costs = take(sides, self.rounds)
        show(f"A timeout of {LATE_S} s, plain HTTP, {_LATE_AT_ONCE} at a time", costs)
        show_ratio("vedette, timed out / up", costs["vedette, timed out"], costs["vedette, up"], goal=1)
        show_ratio("blackbox, timed out / up", costs["blackbox, timed out"], costs["blackbox, up"])

    def _sides(self, spec: HttpSpec, load: Load, module: str) -> dict[str, Callable[[], Cost]]:
        health, unknown = FRONTS
        return {
            OURS: lambda: self.ours.run(spec, load),
            WHOLE: lambda: self.theirs.probe(spec.url, module, load),
            health: lambda: self.theirs.run("/-/healthy", load, b"Healthy".__eq__),
            unknown: lambda: self.theirs.run("/probe?module=none&target=x", load, _is_unknown),
            NO_PACKET: lambda: self.theirs.probe(NO_TARGET, module, load._replace(succeeds=False)),
        }


def _is_unknown(body: bytes) -> bool:
    return body.startswith(b"Unknown module")


if __name__ == "__main__":
    main()
