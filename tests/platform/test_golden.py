"""The golden pairs of AgentDock's clients, through a real manager and a real node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden.pairs import GOLDEN
from tests.platform.running import platform
from tests.platform.tools import entry

pytestmark = pytest.mark.slow


async def test_the_golden_pairs_hold_on_a_real_manager_and_node(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    async with platform(tmp_path, {"one": entry("box", "--result", str(file))}) as running:
        for name, golden in GOLDEN.items():
            file.unlink(missing_ok=True)
            if "tool_result" in golden:
                file.write_text(json.dumps(golden["tool_result"]))
            for exchange in golden["exchanges"]:
                answer = await running.client.post(
                    exchange["path"],
                    json=exchange["request"],
                    headers={"X-Timeout-Seconds": "1"} if "timeout" in golden else {},
                )
                assert answer.status_code == exchange["status"], name
                assert _plain(answer.json()) == _plain(exchange["response"]), name


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """Return an answer, a failure's without its detail, whose wording is for people."""
    content = body["content"]
    if not isinstance(content, dict) or "code" not in content:
        return body
    return {**body, "content": {**content, "detail": bool(content["detail"])}}
