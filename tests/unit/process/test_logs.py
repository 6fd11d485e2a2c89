import json
import logging

import pytest
import structlog

from libs.process import logs


@pytest.fixture
def _configured():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_configured")
def test_events_of_the_product_and_of_libraries_are_json_lines_of_one_format(capsys: pytest.CaptureFixture[str]):
    logs.configure("info", "json")
    structlog.get_logger().info("check.finished", status="up", odd=object)
    logging.getLogger("uvicorn.error").info("quiet")
    logging.getLogger("nats").warning("slow %s", "consumer")
    try:
        raise ValueError("inside")  # noqa: TRY301
    except ValueError:
        structlog.get_logger().exception("check.crashed")
    own, foreign, crash = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (own["event"], own["level"], own["status"]) == ("check.finished", "info", "up")
    assert (foreign["event"], foreign["level"], foreign["logger"]) == ("slow consumer", "warning", "nats")
    assert "ValueError: inside" in crash["exception"]
    assert own["timestamp"].endswith("Z")


@pytest.mark.usefixtures("_configured")
def test_events_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]):
    logs.configure("error", "console")
    structlog.get_logger().warning("not.this")
    structlog.get_logger().error("but.this")
    shown = capsys.readouterr().err
    assert "not.this" not in shown
    assert "but.this" in shown
