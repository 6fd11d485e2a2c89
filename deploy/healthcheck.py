"""Docker health check: exits 0 if the service of this container is ready."""

import http.client
import os
import sys


def main() -> int:
    port = int(os.environ.get("VEDETTE_HEALTH_PORT", "9464"))  # noqa: TID251 - stands alone in the image
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/health/ready")
    answer = connection.getresponse()
    sys.stdout.write(answer.read(4096).decode(errors="replace"))
    return 0 if answer.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
