"""The golden pairs: what AgentDock's clients send, and what they expect for a tool's result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOLDEN: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "agentdock").glob("*.json"))
}
"""By name. `tool_result` is what the tool `box.tool` answers; `timeout` stands for no answer."""
