"""Structured logs of one process: JSON lines in a file, warnings also to whoever listens."""

import logging
import logging.handlers
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

_FILE_BYTES = 10 * 2**20
_FILES = 3


class _Tell(logging.Handler):
    """Hands warnings on, as one line each."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        event = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
        known = ("event", "level", "logger", "timestamp", "exc_info", "_record", "_from_structlog")
        facts = " ".join(f"{k}={v}" for k, v in event.items() if k not in known)
        self._tell(record.levelname.lower(), f"{event.get('event', '')} {facts}".strip()[:500])


def to_file(
    path: Path, *, tell: Callable[[str, str], None] | None = None, **always: object
) -> None:
    """Log to a file (10 MB, three old ones kept); every line carries ``always``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _adding(always),
    ]
    file.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [file, *([_Tell(tell)] if tell else [])]
    root.setLevel(logging.INFO)
    for noisy in ("httpx", "httpcore", "nats", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def flush() -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()


def _adding(always: dict[str, object]) -> Processor:
    def add(_logger: Any, _name: str, event: EventDict) -> EventDict:
        return {**always, **event}

    return add


def _dumps(value: object, **_: object) -> str:
    return orjson.dumps(value, default=str).decode()
