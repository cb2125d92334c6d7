"""Logging set-up shared by every process of ours: one line an event, as text or JSON."""

from __future__ import annotations

import json
import logging
import sys
import time


class _Json(logging.Formatter):
    """One JSON object a line, with the exception's text if there is one."""

    def __init__(self, service: str) -> None:
        super().__init__()
        name, _, node = service.partition(" ")
        self._who = {"service": name, **({"node": node} if node else {})}

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + "Z",
            "level": record.levelname.lower(),
            **self._who,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)


def configure(level: str, format: str, service: str) -> None:
    """Send the log of this process to stderr.

    Args:
        level: Least severe level, such as INFO.
        format: `text` or `json`.
        service: Who speaks, such as `manager` or `node explore`.
    """
    handler = logging.StreamHandler(sys.stderr)
    if format == "json":
        handler.setFormatter(_Json(service))
    else:
        text = f"%(asctime)s %(levelname)-7s {service} %(message)s"
        handler.setFormatter(logging.Formatter(text, datefmt="%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("httpx", "httpx2", "httpcore", "mcp", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))
