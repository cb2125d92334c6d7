"""Files beneath a folder whose owner is hostile: nothing outside is read, written or deleted."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mcp_servers.sandbox.area import FileFault, Folder
from mcp_servers.sandbox.beneath import Open, best_open, open_at_once, open_step_by_step
from mcp_servers.sandbox.paths import BadPath, in_sandbox, name_in_url, split, split_file

WAYS: list[Open] = [open_step_by_step]
if best_open() is open_at_once:
    WAYS.append(open_at_once)


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """A folder `in`, with a secret beside it; opened in each way that this machine has."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "plain.txt").write_text("plain")
    (tmp_path / "secret").write_text("the secret")
    fd = os.open(tmp_path / "in", os.O_RDONLY | os.O_DIRECTORY)
    yield Folder(fd, open_beneath=request.param)
    os.close(fd)


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    return tmp_path / "in"


def content(folder: Folder, path: str) -> bytes:
    with folder.open(split_file(path)) as file:
        return file.read(0, 1 << 20)


def put(folder: Folder, path: str, data: bytes) -> bool:
    with folder.draft(split_file(path)) as draft:
        draft.write(data)
        return draft.commit()


def code_of(attempt: Callable[[], object]) -> tuple[str, int]:
    """Return code and status of the fault that `attempt` meets."""
    with pytest.raises(FileFault) as fault:
        attempt()
    assert str(fault.value)
    return fault.value.code, fault.value.status


def test_a_file_is_written_read_listed_and_deleted(folder: Folder, inside: Path) -> None:
    assert put(folder, "new/deep/file.bin", b"one") is False
    assert put(folder, "new/deep/file.bin", b"two") is True
    assert content(folder, "new/./deep//file.bin") == b"two"
    assert [(item.name, item.kind, item.size) for item in folder.list(split("new/deep"))] == [
        ("file.bin", "file", 3)
    ]
    folder.delete(split("new/deep/file.bin"))
    folder.delete(split("new/deep"))
    assert code_of(lambda: content(folder, "new/deep/file.bin")) == ("not_found", 404)
    assert [(item.name, item.kind) for item in folder.list(())] == [
        ("new", "folder"),
        ("plain.txt", "file"),
        ("sub", "folder"),
    ]


def _symlink(at: Path) -> None:
    at.symlink_to("../secret")


def _absolute_symlink(at: Path) -> None:
    at.symlink_to(at.parent.parent / "secret")


def _inner_symlink(at: Path) -> None:
    at.symlink_to("plain.txt")


def _loop(at: Path) -> None:
    at.symlink_to(at.name)


def _magic_link(at: Path) -> None:
    at.symlink_to("/proc/self/root/etc/passwd")


def _hard_link(at: Path) -> None:
    at.hardlink_to(at.parent.parent / "secret")


def _pipe(at: Path) -> None:
    os.mkfifo(at)


def _socket(at: Path) -> None:
    here = os.open(at.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/{at.name}")
    os.close(here)


def _device(at: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes devices")
    os.mknod(at, 0o20666, os.makedev(1, 3))


ODD = [_symlink, _absolute_symlink, _inner_symlink, _loop, _magic_link]
ODD += [_hard_link, _pipe, _socket, _device]


@pytest.mark.parametrize("make", ODD)
def test_what_is_no_plain_file_is_neither_read_nor_replaced(
    folder: Folder, inside: Path, make: Callable[[Path], None]
) -> None:
    make(inside / "odd")
    assert code_of(lambda: content(folder, "odd")) == ("not_a_plain_file", 409)
    assert code_of(lambda: put(folder, "odd", b"mine")) == ("not_a_plain_file", 409)
    assert [item.kind for item in folder.list(()) if item.name == "odd"] == ["other"]
    folder.delete(("odd",))
    assert (inside.parent / "secret").read_text() == "the secret"
    assert sorted(os.listdir(inside)) == ["plain.txt", "sub"]


def test_a_symlink_on_the_way_is_not_followed(folder: Folder, inside: Path) -> None:
    (inside / "out").symlink_to("..")
    (inside / "loop").symlink_to("loop")
    for way in ("out", "loop"):
        assert code_of(lambda way=way: content(folder, f"{way}/secret"))[1] == 409  # type: ignore[misc]  # bound in the loop
        assert code_of(lambda way=way: put(folder, f"{way}/new", b""))[1] == 409  # type: ignore[misc]  # bound in the loop
        assert code_of(lambda way=way: folder.list((way,)))[1] == 409  # type: ignore[misc]  # bound in the loop
        assert code_of(lambda way=way: folder.delete((way, "secret")))[1] == 409  # type: ignore[misc]  # bound in the loop
    assert sorted(os.listdir(inside.parent)) == ["in", "secret"]


def test_a_folder_is_no_file_and_a_file_no_folder(folder: Folder) -> None:
    assert code_of(lambda: content(folder, "sub")) == ("is_a_folder", 409)
    assert code_of(lambda: put(folder, "sub", b"")) == ("is_a_folder", 409)
    assert code_of(lambda: folder.list(("plain.txt",))) == ("not_a_plain_file", 409)
    assert code_of(lambda: put(folder, "plain.txt/new", b"")) == ("not_a_plain_file", 409)


def test_a_folder_that_holds_something_is_not_deleted(folder: Folder) -> None:
    put(folder, "sub/file", b"")
    assert code_of(lambda: folder.delete(("sub",))) == ("folder_not_empty", 409)


def test_a_file_that_is_given_up_leaves_nothing(folder: Folder, inside: Path) -> None:
    with folder.draft(("new.txt",)) as draft:
        draft.write(b"half")
        assert [item.name for item in folder.list(())] == ["plain.txt", "sub"]
    assert sorted(os.listdir(inside)) == ["plain.txt", "sub"]


def test_what_is_read_stays_the_file_that_was_opened(folder: Folder, inside: Path) -> None:
    with folder.open(("plain.txt",)) as file:
        (inside / "plain.txt").unlink()
        (inside / "plain.txt").symlink_to("../secret")
        assert file.read(0, 100) == b"plain"


def test_a_target_that_is_swapped_while_it_arrives_is_not_followed(
    folder: Folder, inside: Path
) -> None:
    with folder.draft(("plain.txt",)) as draft:
        draft.write(b"mine")
        (inside / "plain.txt").unlink()
        (inside / "plain.txt").symlink_to("../secret")
        assert code_of(draft.commit) == ("not_a_plain_file", 409)
    assert (inside.parent / "secret").read_text() == "the secret"


def test_a_draft_that_is_swapped_is_noticed(folder: Folder, inside: Path) -> None:
    with folder.draft(("new.txt",)) as draft:
        draft.write(b"mine")
        [there] = [name for name in os.listdir(inside) if name.startswith(".agentdock")]
        (inside / there).unlink()
        (inside / there).symlink_to("../secret")
        assert code_of(draft.commit) == ("changed_meanwhile", 409)
    assert sorted(os.listdir(inside)) == ["plain.txt", "sub"]


def test_a_folder_that_is_moved_away_while_a_file_arrives_takes_it_along(
    folder: Folder, inside: Path
) -> None:
    with folder.draft(("sub", "new.txt")) as draft:
        (inside / "sub").rename(inside / "elsewhere")
        (inside / "sub").symlink_to("..")
        draft.write(b"mine")
        draft.commit()
    assert (inside / "elsewhere" / "new.txt").read_bytes() == b"mine"
    assert sorted(os.listdir(inside.parent)) == ["in", "secret"]


def test_no_swap_at_any_moment_leads_out(folder: Folder, inside: Path) -> None:
    """One thread swaps a folder for a symlink that leads out, and back, as fast as it can."""
    (inside / "sub" / "secret").write_text("harmless")
    (inside / "away").symlink_to("..")
    done = threading.Event()
    libc = ctypes.CDLL(None)
    sub, away = (os.fsencode(inside / name) for name in ("sub", "away"))

    def swap_once() -> None:
        libc.renameat2(-100, sub, -100, away, 2)  # both at once: there is always a `sub`

    def swap() -> None:
        while not done.is_set():
            swap_once()

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = set()
    try:
        for number in range(2000):
            try:
                seen.add(content(folder, "sub/secret"))
                put(folder, f"sub/{number % 7}", b"mine")
            except FileFault:
                continue
    finally:
        done.set()
        swapping.join()
    # A slow machine may have met the symlink each time.
    assert seen <= {b"harmless"}
    if (inside / "sub").is_symlink():
        swap_once()
    assert content(folder, "sub/secret") == b"harmless"
    assert sorted(os.listdir(inside.parent)) == ["in", "secret"]
    assert (inside.parent / "secret").read_text() == "the secret"


def test_new_files_and_folders_get_their_owner(inside: Path, folder: Folder) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    fd = os.open(inside, os.O_RDONLY)
    put(Folder(fd, (12345, 12345)), "given/away.txt", b"")
    os.close(fd)
    for path in ("given", "given/away.txt"):
        assert (inside / path).stat().st_uid == 12345
    assert inside.stat().st_uid == 0


def test_nothing_stays_open(folder: Folder, inside: Path) -> None:
    os.mkfifo(inside / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        put(folder, "a/b/c", b"x")
        content(folder, "a/b/c")
        folder.list(("a",))
        for attempt in (
            lambda: content(folder, "pipe"),
            lambda: put(folder, "pipe", b""),
            lambda: put(folder, "a/b", b""),
            lambda: content(folder, "none/at/all"),
        ):
            code_of(attempt)
    assert len(os.listdir("/proc/self/fd")) == before


@given(
    some.text(alphabet=some.characters(codec="utf-8") | some.sampled_from("./\0~\\"), max_size=80)
)
def test_any_path_stays_beneath_or_is_refused(path: str) -> None:
    for meaning in (split, in_sandbox, split_file):
        try:
            names = meaning(path)
        except BadPath:
            continue
        assert not {"", ".", ".."} & set(names)
        assert not any("/" in name or "\0" in name for name in names)
        base = Path("/area")
        assert os.path.normpath(base.joinpath(*names)).startswith("/area")


@given(some.text(max_size=60))
def test_any_url_gives_a_usable_name(url: str) -> None:
    name = name_in_url(f"http://host.test/{url}")
    assert split_file(name) == (name,)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/home/user", ()),
        ("/home/user/", ()),
        ("/home/user/a/b", ("a", "b")),
        ("//home//user/./a", ("a",)),
        ("a/b", ("a", "b")),
        ("", ()),
    ],
)
def test_a_sandbox_names_its_workspace_home(path: str, names: tuple[str, ...]) -> None:
    assert in_sandbox(path) == names


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/home/other/a", "/home/user/../other", "/", "..", "a/../../b", "/home/userx"],
)
def test_nothing_else_of_a_sandbox_is_reached(path: str) -> None:
    with pytest.raises(BadPath):
        in_sandbox(path)


@pytest.mark.parametrize(
    "path", ["a" * 256, "é" * 128, "a/" * 33 + "b", "a" * 3000, "a\0b", "\ud800", "a\nb"]
)
def test_what_cannot_name_a_file_is_refused(path: str) -> None:
    with pytest.raises(BadPath):
        split_file(path)
