"""What a profile file and registrations say together, whatever the order in which they come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.entries import Entry, parse_entry
from nodes.profile import Profile
from nodes.registrations import Registrations, merge
from wire.models import FROM_API, Registration

ENVIRON = {"ALLOWED": "a1", "HIDDEN": "h1"}
ALLOWED = frozenset({"ALLOWED"})
NAMES = st.sampled_from(["a", "b", "c"])

registrations = st.builds(
    Registration,
    name=NAMES,
    profile=st.just("*"),
    revision=st.integers(1, 5),
    entry=st.none() | st.sampled_from([{"command": "x"}, {"command": "y"}, {"comand": "bad"}]),
)


def unique(found: list[Registration]) -> list[Registration]:
    """Keep one of each name and revision: the manager never makes two."""
    return list({(r.name, r.revision): r for r in found}.values())


@given(st.lists(registrations).map(unique), st.randoms())
def test_the_order_in_which_registrations_come_does_not_matter(
    found: list[Registration], random: st.DataObject
) -> None:
    straight, shuffled = Registrations(), Registrations()
    straight.take(found)
    others = [*found, *found]
    random.shuffle(others)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    for registration in others:
        shuffled.take([registration])
    assert straight.live() == shuffled.live()
    assert not shuffled.take(others)


@given(
    st.sets(NAMES),
    st.sets(NAMES),
    st.lists(registrations).map(unique),
)
def test_every_name_has_one_source_and_the_file_comes_first(
    usable: set[str], broken: set[str], found: list[Registration]
) -> None:
    known = Registrations()
    known.take(found)
    file = Profile(
        {name: Entry(name, "from-file") for name in usable - broken}, dict.fromkeys(broken, "bad")
    )
    merged = merge(file, "p.toml", known.live(), ENVIRON, ALLOWED)
    assert not merged.entries.keys() & merged.faults.keys()
    assert merged.sources.keys() == merged.entries.keys() | merged.faults.keys()
    of_file = usable | broken
    for name in of_file:
        assert merged.sources[name] == "p.toml"
        assert merged.entries.get(name) == file.entries.get(name)
    assert {n for n, s in merged.sources.items() if s == FROM_API} == known.live().keys() - of_file
    assert {note.partition(":")[0] for note in merged.notes} == known.live().keys() & of_file
    alone = merge(Profile(), "p.toml", known.live(), ENVIRON, ALLOWED)
    assert alone.sources.keys() == known.live().keys()


def test_an_entry_of_the_api_refers_only_to_what_the_node_allows() -> None:
    def faults(**entry: object) -> str:
        sent = Registration(name="a", profile="*", revision=1, entry={"command": "x", **entry})
        merged = merge(Profile(), "p", {"a": sent}, ENVIRON, ALLOWED)
        return merged.faults.get("a", "")

    assert faults(args=["${ALLOWED}"]) == ""
    assert faults(agentdock={"env_pass": ["ALLOWED"]}) == ""
    for entry in (
        {"args": ["${HIDDEN}"]},
        {"args": ["${HIDDEN:-x}"]},
        {"agentdock": {"env_pass": ["HIDDEN"]}},
    ):
        fault = faults(**entry)
        assert "AGENTDOCK_NODE_EXPANDABLE_VARS" in fault
        assert "h1" not in fault
    assert parse_entry("a", {"command": "x", "args": ["${HIDDEN}"]}, ENVIRON).args == ("h1",)
