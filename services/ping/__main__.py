"""Prober service of kind `ping`."""

import sys

from libs.net.egress import EgressPolicy
from libs.prober.service import prober
from libs.process.run import run
from libs.process.service import Service
from libs.process.settings import Settings
from services.ping.probe import PingProbe
from services.ping.spec import PingSpec


def probe(settings: Settings) -> PingProbe:
    egress = EgressPolicy(private=settings.egress_private, allow=settings.egress_allow, deny=settings.egress_deny)
    return PingProbe(nameservers=settings.resolvers, egress=egress)


def service() -> Service:
    return prober(PingSpec, probe)


if __name__ == "__main__":
    sys.exit(run(service()))
