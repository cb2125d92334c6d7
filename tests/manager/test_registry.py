from __future__ import annotations

import pytest

from manager.registry import BACK_S, Registry
from tests.fakes.scripted_node import ScriptedNode, server, tool
from wire.errors import NoNode, NotFound, ServerUnavailable, ToolAmbiguous, ToolNotFound
from wire.models import NodeState, ServerState


@pytest.fixture
def registry() -> Registry:
    return Registry()


def candidates(registry: Registry, name: str) -> list[str]:
    return [node.id for node in registry.find(name)[1]]


def test_a_report_replaces_the_last_one(registry: Registry) -> None:
    node = ScriptedNode()
    registry.apply(node.report(server("a", tool("x", "a")), server("b", tool("y", "b"))))
    registry.apply(node.report(server("b", tool("z", "b"))))
    assert [info.dotted for info in registry.tools()] == ["b.z"]
    assert registry.servers() == ["b"]


def test_a_repeated_report_changes_nothing(registry: Registry) -> None:
    changes: list[None] = []
    registry.watch(lambda: changes.append(None))
    report = ScriptedNode().report()
    registry.apply(report)
    tool_before = registry.find("echo")[0]
    registry.apply(report.model_copy(update={"in_flight": 7}))
    assert registry.find("echo")[0] is tool_before
    assert len(changes) == 1


def test_a_tool_on_two_nodes_is_listed_once_and_has_both_as_candidates(registry: Registry) -> None:
    registry.apply(ScriptedNode("one").report())
    registry.apply(ScriptedNode("two").report())
    assert [info.dotted for info in registry.tools()] == ["echo.echo"]
    assert candidates(registry, "echo__echo") == ["one", "two"]


def test_a_bare_name_of_two_servers_is_ambiguous(registry: Registry) -> None:
    node = ScriptedNode()
    registry.apply(node.report(server("a", tool("x", "a")), server("b", tool("x", "b"))))
    with pytest.raises(ToolAmbiguous, match="a__x, b__x"):
        registry.find("x")
    assert registry.find("x", "b")[0].info.server == "b"


STATES = [
    # node, tool server, listed, callable, refusal
    (NodeState.READY, ServerState.READY, True, True, None),
    (NodeState.READY, ServerState.STARTING, True, False, ServerUnavailable),
    (NodeState.READY, ServerState.BACKING_OFF, True, False, ServerUnavailable),
    (NodeState.READY, ServerState.DRAINING, True, False, ServerUnavailable),
    (NodeState.READY, ServerState.STOPPED, False, False, ServerUnavailable),
    (NodeState.READY, ServerState.FAILED, False, False, ServerUnavailable),
    (NodeState.JOINING, ServerState.READY, True, False, NoNode),
    (NodeState.DRAINING, ServerState.READY, True, False, NoNode),
]


@pytest.mark.parametrize(("node_state", "state", "listed", "can_be_called", "refusal"), STATES)
def test_the_states_of_node_and_server_decide_whether_a_tool_is_listed_and_called(
    registry: Registry,
    node_state: NodeState,
    state: ServerState,
    listed: bool,
    can_be_called: bool,
    refusal: type[Exception] | None,
) -> None:
    echo = server("echo", tool("echo"), state=state)
    registry.apply(ScriptedNode().report(echo, state=node_state))
    assert bool(registry.tools()) is listed
    if can_be_called:
        assert candidates(registry, "echo") == ["one"]
    else:
        assert refusal is not None
        with pytest.raises(refusal):
            registry.find("echo")


@pytest.mark.parametrize(("node_state", "state", "listed", "can_be_called", "refusal"), STATES)
def test_a_second_node_that_is_ready_makes_up_for_any_state_of_the_first(
    registry: Registry,
    node_state: NodeState,
    state: ServerState,
    listed: bool,
    can_be_called: bool,
    refusal: type[Exception] | None,
) -> None:
    echo = server("echo", tool("echo"), state=state)
    registry.apply(ScriptedNode("one").report(echo, state=node_state))
    registry.apply(ScriptedNode("two").report())
    assert candidates(registry, "echo") == (["one", "two"] if can_be_called else ["two"])


def test_a_failed_server_is_told_without_what_it_printed(registry: Registry) -> None:
    failed = server("web", state=ServerState.FAILED, error="No module named 'bs4'")
    registry.apply(ScriptedNode().report(failed))
    with pytest.raises(ServerUnavailable, match=r"is failed.*GET /v1/servers tells why") as told:
        registry.find("web__search")
    assert "bs4" not in told.value.detail


def test_a_backing_off_server_says_when_to_try_again(registry: Registry) -> None:
    echo = server("echo", tool("echo"), state=ServerState.BACKING_OFF, retry_after_s=4.0)
    registry.apply(ScriptedNode().report(echo))
    with pytest.raises(ServerUnavailable) as refused:
        registry.find("echo")
    assert refused.value.retry_after_s == 4.0


def test_the_tools_of_a_lost_node_are_not_listed_but_known(registry: Registry) -> None:
    registry.lose(registry.apply(ScriptedNode().report()))
    assert registry.tools() == []
    assert registry.servers() == []
    assert registry.node("one") is None
    with pytest.raises(NoNode, match="one"):
        registry.find("echo")


def test_a_lost_node_is_back_with_its_next_report_even_if_nothing_changed(
    registry: Registry,
) -> None:
    report = ScriptedNode().report()
    registry.lose(registry.apply(report))
    registry.apply(report)
    assert candidates(registry, "echo") == ["one"]


def test_a_remembered_node_is_joining_until_it_reports(registry: Registry) -> None:
    report = ScriptedNode().report()
    registry.remember(report)
    assert registry.node("one") is not None, "who holds a handle to it must not be told it is gone"
    with pytest.raises(NoNode, match="one is joining"):
        registry.find("echo")
    registry.apply(report)
    assert candidates(registry, "echo") == ["one"]


def test_a_node_that_left_takes_its_tools_along_unless_it_is_soon_back() -> None:
    now = [0.0]
    registry = Registry(clock=lambda: now[0])
    node = ScriptedNode()
    registry.apply(node.report())
    registry.forget("one")
    with pytest.raises(NotFound):
        registry.forget("one")
    assert registry.tools() == []
    for name in ("echo", "echo__echo", "echo.echo"):
        with pytest.raises(NoNode, match="one left a moment ago") as caught:
            registry.find(name)
        assert caught.value.retry_after_s
    assert registry.may_be_back("one")
    with pytest.raises(ToolNotFound):
        registry.find("other")
    registry.apply(node.report())
    assert candidates(registry, "echo") == ["one"]
    assert not registry.may_be_back("one"), "it is back"
    registry.forget("one")
    registry.apply(node.report(server("echo", state=ServerState.STARTING)))
    with pytest.raises(ServerUnavailable, match="on one it is starting"):
        registry.find("echo")
    registry.forget("one")
    now[0] = BACK_S + 1
    with pytest.raises(ToolNotFound):
        registry.find("echo")
    assert not registry.may_be_back("one")


def test_what_a_node_came_back_without_is_not_waited_for(registry: Registry) -> None:
    node = ScriptedNode()
    registry.apply(node.report(server("a", tool("echo", "a")), server("b", tool("other", "b"))))
    registry.forget("one")
    registry.apply(node.report(server("a", tool("echo", "a"))))
    with pytest.raises(ToolNotFound):
        registry.find("other")


def test_a_bare_name_that_two_servers_had_is_as_ambiguous_while_they_are_away(
    registry: Registry,
) -> None:
    servers = [server(name, tool("echo", name)) for name in ("a", "b")]
    registry.apply(ScriptedNode().report(*servers))
    registry.forget("one")
    with pytest.raises(ToolAmbiguous):
        registry.find("echo")


def test_a_node_that_was_lost_for_long_is_not_waited_for_when_it_is_forgotten(
    registry: Registry,
) -> None:
    registry.lose(registry.apply(ScriptedNode().report()))
    registry.forget("one")
    assert not registry.may_be_back("one")


def test_a_suspect_gets_calls_only_when_there_is_nobody_else(registry: Registry) -> None:
    one = registry.apply(ScriptedNode("one").report())
    two = registry.apply(ScriptedNode("two").report())
    registry.suspect(one, True)
    assert candidates(registry, "echo") == ["two"]
    registry.suspect(two, True)
    assert candidates(registry, "echo") == ["one", "two"]
    registry.suspect(one, False)
    assert candidates(registry, "echo") == ["one"]


def test_the_tools_of_one_server_can_be_listed_and_an_unknown_one_is_refused(
    registry: Registry,
) -> None:
    node = ScriptedNode()
    failed = server("web", state=ServerState.FAILED)
    registry.apply(node.report(server("echo", tool("b"), tool("a")), failed))
    assert [info.name for info in registry.tools("echo")] == ["a", "b"]
    assert registry.tools("web") == []
    with pytest.raises(NotFound):
        registry.tools("nothing")


def test_load_counts_own_calls_once_and_those_of_others(registry: Registry) -> None:
    node = ScriptedNode()
    record = registry.apply(node.report())
    record.in_flight = 5
    registry.apply(node.report(in_flight=8))
    assert record.load() == 8
    record.in_flight = 1
    assert record.load() == 4


def test_an_unknown_tool_is_refused_with_similar_names(registry: Registry) -> None:
    registry.apply(ScriptedNode().report())
    with pytest.raises(ToolNotFound, match=r"echo__ecco.*echo"):
        registry.find("echo__ecco")


def test_a_second_living_node_of_the_same_id_is_a_rival_and_a_restarted_one_is_not() -> None:
    now = 100.0
    registry = Registry(clock=lambda: now)
    report = ScriptedNode().report(boot="one")
    registry.apply(report)
    elsewhere = {"boot": "two", "url": "http://127.0.0.1:1"}
    assert registry.rival(report.model_copy(update={"boot": "two"})) is None
    rival = registry.rival(report.model_copy(update=elsewhere))
    assert rival is not None
    assert rival.url == report.url
    now += 10
    assert registry.rival(report.model_copy(update=elsewhere)) is None


@pytest.mark.parametrize("state", [ServerState.STARTING, ServerState.BACKING_OFF])
def test_a_tool_of_a_server_that_was_never_ready_is_not_there_yet(state: ServerState) -> None:
    registry = Registry()
    registry.apply(ScriptedNode().report(server("echo", tool("echo")), server("new", state=state)))
    with pytest.raises(ServerUnavailable, match="new"):
        registry.find("new__anything")
    with pytest.raises(ToolNotFound):
        registry.find("echo__anything")
    with pytest.raises(ToolNotFound):
        registry.find("anything")


def test_files_are_looked_for_a_while_where_the_last_node_of_their_machine_was() -> None:
    now = [0.0]
    registry = Registry(clock=lambda: now[0])
    assert registry.area_of("alice") == ""

    def report(node_id: str, area: str) -> None:
        files = server("box", files=True)
        registry.apply(ScriptedNode(node_id).report(files, files_area=area))

    report("old", "")  # one that names no area yet
    for node_id, area in (("one", "a"), ("two", "b"), ("three", "b")):
        report(node_id, area)
    owners = [f"owner{number}" for number in range(40)]
    homes = {owner: registry.area_of(owner) for owner in owners}
    assert set(homes.values()) == {"a", "b"}
    registry.forget("three")
    assert {owner: registry.area_of(owner) for owner in owners} == homes
    registry.forget("one")
    [two] = [node for node in registry.nodes() if node.id == "two"]
    now[0] = 599.0
    registry.lose(two)
    assert {owner: registry.area_of(owner) for owner in owners} == homes
    now[0] = 601.0
    assert {registry.area_of(owner) for owner in owners} == {"b"}
    report("one", "a")
    assert {owner: registry.area_of(owner) for owner in owners} == homes


def test_a_machine_that_comes_takes_no_files_that_are_elsewhere() -> None:
    registry = Registry()
    homes: dict[str, str] = {}
    for number in range(3):
        files = server("box", files=True)
        registry.apply(ScriptedNode(f"n{number}").report(files, files_area=f"area{number}"))
        assert {owner: registry.area_of(owner) for owner in homes} == homes
        homes |= {f"{number}-{n}": registry.area_of(f"{number}-{n}") for n in range(40)}
        assert f"area{number}" in homes.values()
