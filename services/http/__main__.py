"""Prober service of kind `http`."""

import sys

from libs.net.egress import EgressPolicy
from libs.prober.service import prober
from libs.process.run import run
from libs.process.service import Service
from libs.process.settings import Settings
from services.http.probe import HttpProbe
from services.http.spec import HttpSpec


def probe(settings: Settings) -> HttpProbe:
    egress = EgressPolicy(private=settings.egress_private, allow=settings.egress_allow, deny=settings.egress_deny)
    return HttpProbe(nameservers=settings.resolvers, egress=egress)


def service() -> Service:
    return prober(HttpSpec, probe)


if __name__ == "__main__":
    sys.exit(run(service()))
