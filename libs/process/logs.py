"""Logging set-up: structured events on stderr, as console lines on a terminal, else as JSON lines."""

import logging
import sys
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor

# Libraries that log every message or request; limited to warnings.
_VERBOSE_LOGGERS = (
    "uvicorn",
    "uvicorn.access",
    "uvicorn.error",
    "faststream",
    "litestar",
    "nats",
    "asyncio",
    "vedette.faststream",
)


def configure(level: str = "info", form: str = "auto") -> None:
    """Configures structlog and the logging module alike; called once per process."""
    console = sys.stderr.isatty() if form == "auto" else form == "console"
    number = logging.getLevelNamesMapping()[level.upper()]
    shared = _shared_processors()
    renderers = _console() if console else _json()
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(number, shared, renderers)


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _console() -> list[Processor]:
    colors = sys.stderr.isatty()
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]


def _json() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_encode)]


def _encode(event: EventDict, **_options: Any) -> str:
    first = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    return msgspec.json.encode({**first, **event}, enc_hook=repr).decode()


def _route_standard_logging(level: int, shared: list[Processor], renderers: list[Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.INFO))
    for name in _VERBOSE_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(level, logging.WARNING))
