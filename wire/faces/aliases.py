"""Other names that a tool answers to, as `_meta` of its definition lists them.

Agents call tools by names that they learnt elsewhere. What is not of the documented form counts as
absent: a tool server's mistake here costs only its own convenience.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wire.models import MAX_TOOL_NAME, ToolInfo

ARGUMENTS = "agentdock/argument_aliases"
NAMES = "agentdock/names"


def other_names(tool: ToolInfo) -> list[str]:
    """Return further bare names of a tool."""
    names = _meta(tool).get(NAMES)
    if not isinstance(names, list):
        return []
    usable = [name for name in names if isinstance(name, str) and 0 < len(name) <= MAX_TOOL_NAME]
    return list(dict.fromkeys(usable))


def renamed(tool: ToolInfo, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return arguments under the names that the tool knows; None if none of them is an alias.

    An alias stands aside if its argument is given as well, by its own name or another alias: which
    of them was meant, nobody can say.
    """
    known = _argument_aliases(tool)
    goals = {name: known.get(name, name) for name in arguments}
    given = list(goals.values())
    if len(set(given)) < len(given) or given == list(goals):
        return None
    return {goals[name]: value for name, value in arguments.items()}


def _argument_aliases(tool: ToolInfo) -> dict[str, str]:
    """Return the tool's argument for each alias; what is an argument itself is no alias."""
    aliases = _meta(tool).get(ARGUMENTS)
    properties = tool.input_schema.get("properties")
    if not isinstance(aliases, dict) or not isinstance(properties, dict):
        return {}
    return {
        alias: name
        for alias, name in aliases.items()
        if isinstance(name, str) and name in properties and alias not in properties
    }


def _meta(tool: ToolInfo) -> dict[str, Any]:
    meta = tool.definition.get("_meta")
    return meta if isinstance(meta, dict) else {}
