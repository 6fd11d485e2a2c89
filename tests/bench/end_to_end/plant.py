"""Everything that takes part in the bench, each as a process of its own."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.end_to_end.options import Options
from tests.support.canned import CannedServer
from tests.support.cluster import NO_LIMIT, Cluster
from tests.support.servers import running_nats, running_postgres, scratch


@dataclass(frozen=True)
class Plant:
    """The running processes."""

    cluster: Cluster
    target: CannedServer

    def pids(self) -> dict[str, list[int]]:
        """Returns the roots of the process trees of each part, by its name in the report."""
        services = self.cluster.services
        return {
            "nats-server": [self.cluster.nats.process.pid],
            "prober": [service.process.pid for name, service in services.items() if name.startswith("http")],
            "results": [services["results"].process.pid],
            "gateway": [services["gateway"].process.pid],
            "postgres": [self.cluster.postgres.process.pid],
            "target": [self.target.process.pid],
        }


@contextlib.contextmanager
def running_plant(options: Options) -> Iterator[Plant]:
    with (
        scratch("bench") as directory,
        running_nats() as nats,
        running_postgres(durable=True) as postgres,
        contextlib.ExitStack() as stack,
    ):
        target = CannedServer(directory)
        stack.callback(target.kill)
        target.start()
        cluster = Cluster(directory, nats, postgres, postgres.new_database())
        stack.callback(cluster.stop)
        cluster.start("results", "gateway", *["http"] * options.probers, **NO_LIMIT)
        try:
            yield Plant(cluster, target)
        except BaseException:
            print(cluster.logs(), file=sys.stderr)
            raise
