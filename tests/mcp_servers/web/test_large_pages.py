"""A page so large that taking it apart takes long: who waits for it, and who does not."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest

from mcp_servers.web.extracting import extractor as module
from mcp_servers.web.extracting.app import create_extractor
from mcp_servers.web.extracting.settings import ExtractSettings
from mcp_servers.web.page import Page


def page(markdown: str) -> Page:
    return Page("https://example.test/", "", markdown, "html")


async def test_who_waits_for_a_large_page_may_go_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Taking a page apart cannot be stopped: few large ones at a time, and small ones beside."""
    let_go, at_a_time, most = threading.Event(), 0, 0
    real = module._prepared

    def prepared(markdown: str, info: str) -> Any:
        nonlocal at_a_time, most
        if len(markdown) > module.SMALL:
            at_a_time += 1
            most = max(most, at_a_time)
            let_go.wait(10)
            at_a_time -= 1
        return real(markdown, info)

    monkeypatch.setattr(module, "_prepared", prepared)
    large = page("word " * (module.SMALL // 4))
    async with create_extractor(ExtractSettings()) as extractor:
        for _ in range(2):
            with anyio.move_on_after(0.3) as scope:
                async with anyio.create_task_group() as many:
                    for _ in range(50):
                        many.start_soon(extractor.extract, large, "word")
            assert scope.cancelled_caught
        assert most == module.LARGE_AT_A_TIME
        with anyio.fail_after(5):
            assert (await extractor.extract(page("small words"), "words")).status == "ok"
        let_go.set()
        with anyio.fail_after(20):
            assert (await extractor.extract(large, "word")).status == "ok"
