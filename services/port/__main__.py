"""Prober service of kind `port`."""

import sys

from libs.net.egress import EgressPolicy
from libs.prober.service import prober
from libs.process.run import run
from libs.process.service import Service
from libs.process.settings import Settings
from services.port.probe import PortProbe
from services.port.spec import PortSpec


def probe(settings: Settings) -> PortProbe:
    egress = EgressPolicy(private=settings.egress_private, allow=settings.egress_allow, deny=settings.egress_deny)
    return PortProbe(nameservers=settings.resolvers, egress=egress)


def service() -> Service:
    return prober(PortSpec, probe)


if __name__ == "__main__":
    sys.exit(run(service()))
