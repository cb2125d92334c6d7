"""What nodes report, read back from documents of MongoDB."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from manager.stores.base import StoredNode, StoredTool
from manager.stores.mongo_calls import Document
from wire.models import NodeReport, ToolInfo

T = TypeVar("T")
log = logging.getLogger(__name__)


def stored_node(document: Document) -> StoredNode:
    """Return the node of a document."""
    return StoredNode(NodeReport.model_validate_json(document["report"]), document["seen_at"])


def stored_tool(document: Document) -> StoredTool:
    """Return the tool of a document."""
    tool = ToolInfo.model_validate_json(document["tool"])
    return StoredTool(tool, document["first_seen"], document["last_seen"])


def readable(documents: Iterable[Document], read: Callable[[Document], T]) -> list[T]:
    """Read documents; one that another version wrote is passed over."""
    found = []
    for document in documents:
        try:
            found.append(read(document))
        except (ValueError, KeyError) as error:
            reason = str(error).partition("\n")[0]
            log.warning("%r in the store cannot be read: %s", document["_id"], reason)
    return found
