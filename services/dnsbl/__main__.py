"""Prober service of kind `dnsbl`."""

import sys

from libs.prober.service import prober
from libs.process.run import run
from libs.process.service import Service
from libs.process.settings import Settings
from services.dnsbl.probe import DnsblProbe
from services.dnsbl.spec import DnsblSpec


def probe(settings: Settings) -> DnsblProbe:
    del settings
    return DnsblProbe()


def service() -> Service:
    return prober(DnsblSpec, probe)


if __name__ == "__main__":
    sys.exit(run(service()))
