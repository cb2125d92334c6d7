"""The sandbox that the tests of a module share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mcp_servers.sandbox.tools import Tools
from tests.mcp_servers.sandbox.standing import settings, standing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tools(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tools]:
    async with standing(settings(tmp_path_factory.mktemp("sandbox"))) as tools:
        yield tools
