"""`vedette health`: asks the process of this container whether it is ready, for Docker's health check."""

import http.client

from libs.process.settings import Settings
from libs.process.signals import EXIT_FAILED, EXIT_OK

_TIMEOUT_S = 5.0


def health(settings: Settings) -> int:
    """Returns 0 when /health/ready on the health port says so; prints what is missing otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", settings.health_port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        body = answer.read(65536).decode(errors="replace")
    except OSError as error:
        body, ready = f"no answer: {error}", False
    else:
        ready = answer.status == http.HTTPStatus.OK
    finally:
        connection.close()
    print(body)  # noqa: T201 - Docker keeps it
    return EXIT_OK if ready else EXIT_FAILED
