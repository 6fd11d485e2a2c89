"""What clients are told while a part is away: soon, as a problem, and no longer than it is away."""

from libs.process.service import Service
from services.gateway.__main__ import service as gateway
from services.results.__main__ import service as results
from tests.integration.gateway.conftest import Open
from tests.integration.gateway.test_native_api import V2, check_problem
from tests.support.servers import NatsServer, PostgresServer
from tests.support.wait import eventually
from tests.unit.gateway.strictness import GOOD


async def test_without_the_results_room_everything_is_refused_at_once(nats_url: str) -> None:
    from libs.process.run import running
    from libs.process.settings import Settings
    from tests.support.client import Api
    from tests.support.ports import free_port

    settings = Settings(nats_url=nats_url, port=free_port(), health_port=0)
    async with running((gateway(),), settings), Api(settings.port, "vdt_any", timeout_s=2) as api:
        for path in ("/me", "/monitors", "/results/stream"):
            answer = await api.ask("GET", V2 + path)
            check_problem(answer, 503)
            assert answer.headers["retry-after"]
        assert (await api.ask("GET", "/health/live")).status == 200
        assert (await api.ask("GET", "/health/ready")).status == 503
        assert (await api.ask("GET", f"{V2}/openapi.json")).status == 200
