from __future__ import annotations

import pytest

from manager.access import Access, anonymous_caller, parse_keys
from wire.errors import Unauthorized
from wire.faces.caller import Caller

ALICE = "alice-key-0123456789"
OPS = "ops-key-0123456789ab"
SECRET = "the secret of nodes"


@pytest.fixture
def access() -> Access:
    return Access(parse_keys(f"alice:agent:{ALICE}, ops:admin:{OPS}"), SECRET, None)


def test_each_key_has_its_name_and_role(access: Access) -> None:
    assert access.authenticate(ALICE) == Caller("alice")
    assert access.authenticate(OPS) == Caller("ops", admin=True)


def test_the_secret_makes_a_peer_that_does_not_administer(access: Access) -> None:
    assert access.authenticate(SECRET) == Caller("node", peer=True)


@pytest.mark.parametrize("token", ["", "x", ALICE[:-1], ALICE + "x", ALICE.upper(), "\udc80", "é"])
def test_what_is_not_a_key_is_refused_without_being_shown(access: Access, token: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        access.authenticate(token)
    assert not token or token not in refused.value.detail


def test_who_presents_nothing_is_refused_where_keys_are_needed(access: Access) -> None:
    with pytest.raises(Unauthorized, match="X-API-Key"):
        access.authenticate(None)


def test_a_wrong_key_is_refused_even_where_none_is_needed() -> None:
    access = Access((), SECRET, Caller("anonymous"))
    assert access.authenticate(None) == Caller("anonymous")
    with pytest.raises(Unauthorized):
        access.authenticate("wrong")


@pytest.mark.parametrize(
    ("allowed", "loopback", "keys", "caller"),
    [
        (True, True, False, Caller("anonymous", admin=True)),
        (True, True, True, Caller("anonymous")),
        (True, False, False, Caller("anonymous")),
        (True, False, True, Caller("anonymous")),
        (False, True, False, None),
        (False, False, True, None),
    ],
)
def test_the_anonymous_caller_administers_only_on_loopback_without_keys(
    allowed: bool, loopback: bool, keys: bool, caller: Caller | None
) -> None:
    assert anonymous_caller(allowed=allowed, loopback=loopback, keys=keys) == caller


def test_keys_may_be_separated_by_commas_and_lines() -> None:
    keys = parse_keys(f"\n alice:agent:{ALICE},\nops:admin:{OPS}\n,")
    assert [(key.name, key.role) for key in keys] == [("alice", "agent"), ("ops", "admin")]


def test_a_key_may_hold_colons() -> None:
    assert parse_keys("a:agent:0123:4567:89ab:cdef")[0].key == "0123:4567:89ab:cdef"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("alice", "name:role:key"),
        ("alice:agent:", "name:role:key"),
        (f"Alice:agent:{ALICE}", "a name is made of"),
        (f"node:agent:{ALICE}", "the platform's own"),
        (f"alice:boss:{ALICE}", "agent or admin"),
        ("alice:agent:short", "16 or more"),
        ("alice:agent:with a blank in it", "16 or more"),
        (f"alice:agent:{ALICE},alice:agent:{OPS}", "the same name"),
        (f"alice:agent:{ALICE},bob:agent:{ALICE}", "the same key"),
    ],
)
def test_an_unusable_entry_is_explained_without_showing_its_key(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        parse_keys(text)
    assert ALICE not in str(refused.value)


def test_a_key_is_not_shown_when_printed() -> None:
    assert ALICE not in repr(parse_keys(f"alice:agent:{ALICE}"))
