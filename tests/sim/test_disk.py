"""The disk: files, directories, errors, durability."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from mta.system import Files, Stat, Wait
from sim.disk import Disk
from sim.faults import DiskError, DiskFault, DiskFull, SlowDisk
from sim.world import World


@pytest.fixture
def world() -> World:
    return World(start=1_000_000)


@pytest.fixture
def disk(world: World) -> Disk:
    files = world.machine("mx").files
    files.mkdir("/q/incoming")
    files.mkdir("/q/active")
    return files


def test_a_disk_is_what_the_mail_system_expects(disk: Disk) -> None:
    files: Files = disk
    assert files.free_space() == 16 << 30


def test_what_is_written_can_be_read(disk: Disk) -> None:
    disk.write("/etc.cf", b"one")
    disk.append("/etc.cf", b" two")
    assert disk.read("/etc.cf") == b"one two"
    disk.write("/etc.cf", b"three")
    assert disk.read("/etc.cf") == b"three"
    disk.append("/q/new", b"made", mode=0o600, uid=5, gid=6)
    assert disk.stat("/q/new") == Stat(4, 0o600, 5, 6, 1_000_000, False)


def test_an_open_file_stays_the_same_through_renames(disk: Disk) -> None:
    file = disk.create("/q/incoming/A", mode=0o700, uid=102, gid=105)
    number = file.inode
    file.data += b"record"
    disk.rename("/q/incoming/A", "/q/active/B")
    file.data += b" more"
    assert disk.open("/q/active/B") is file
    assert (file.inode, file.nlink, file.mode) == (number, 1, 0o700)
    assert disk.read("/q/active/B") == b"record more"
    assert not disk.exists("/q/incoming/A")
    disk.remove("/q/active/B")
    assert (file.nlink, file.data) == (0, b"record more")


def test_inode_numbers_are_not_used_twice(disk: Disk) -> None:
    numbers = []
    for _ in range(3):
        numbers.append(disk.create("/x").inode)
        disk.remove("/x")
    assert len(set(numbers)) == 3


def test_renaming_replaces_what_is_there(disk: Disk) -> None:
    old = disk.create("/q/new")
    disk.write("/q/other", b"other")
    disk.rename("/q/other", "/q/new")
    assert disk.read("/q/new") == b"other"
    assert old.nlink == 0
    disk.rename("/q/new", "/q/new")
    assert disk.list("/q") == ["active", "incoming", "new"]


def test_a_directory_moves_with_all_that_is_in_it(disk: Disk) -> None:
    disk.write("/q/incoming/sub", b"x")
    disk.mkdir("/q/incoming/deep/er")
    disk.write("/q/incoming/deep/er/file", b"y")
    disk.rename("/q/incoming", "/moved")
    assert disk.read("/moved/deep/er/file") == b"y"
    assert [path for path, _ in disk.walk("/moved")] == ["/moved/deep/er/file", "/moved/sub"]
    assert not disk.exists("/q/incoming/deep")
    assert disk.open("/moved/sub").path == "/moved/sub"


def test_a_scan_shows_what_came_last_first(disk: Disk) -> None:
    for name in ("b", "a", "c"):
        disk.write(f"/q/incoming/{name}", b"")
    assert disk.scan("/q/incoming") == ["c", "a", "b"]
    disk.rename("/q/incoming/a", "/q/active/a")
    disk.rename("/q/active/a", "/q/incoming/a")
    assert disk.scan("/q/incoming") == ["a", "c", "b"]
    disk.rename("/q/incoming/c", "/q/incoming/b")
    assert disk.scan("/q/incoming") == ["b", "a"]
    with pytest.raises(OSError, match="Not a directory"):
        disk.scan("/q/incoming/a")


def test_names_are_sorted_whatever_happens_to_them(disk: Disk) -> None:
    names = [f"{(n * 7919) % 1009:04}" for n in range(1009)]
    for count, name in enumerate(names):
        disk.create(f"/q/incoming/{name}")
        if count % 100 == 0:
            assert disk.list("/q/incoming") == sorted(names[: count + 1])
    for name in names[::2]:
        disk.remove(f"/q/incoming/{name}")
    assert disk.list("/q/incoming") == sorted(names[1::2])
    disk.list("/q/incoming").clear()
    assert len(disk.list("/q/incoming")) == 504


@pytest.mark.parametrize("path", ["/q/active", "/q/active/", "/q//active", "/q/./active"])
def test_paths_have_more_than_one_form(disk: Disk, path: str) -> None:
    disk.write("/q/active/x", b"data")
    assert disk.list(path) == ["x"]
    assert disk.read(f"{path}/x") == b"data"
    assert disk.read(f"{path}/../active/x") == b"data"


Action = Callable[[Disk], Any]


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (lambda d: d.open("/q/none"), errno.ENOENT),
        (lambda d: d.open("/none/file"), errno.ENOENT),
        (lambda d: d.open("/file/below"), errno.ENOTDIR),
        (lambda d: d.open("/file/far/below"), errno.ENOTDIR),
        (lambda d: d.open("/q"), errno.EISDIR),
        (lambda d: d.read("/q"), errno.EISDIR),
        (lambda d: d.read("/"), errno.EISDIR),
        (lambda d: d.write("/q", b""), errno.EISDIR),
        (lambda d: d.append("/none/x", b""), errno.ENOENT),
        (lambda d: d.create("/file"), errno.EEXIST),
        (lambda d: d.create("/q"), errno.EEXIST),
        (lambda d: d.create("/none/x"), errno.ENOENT),
        (lambda d: d.remove("/none"), errno.ENOENT),
        (lambda d: d.remove("/q"), errno.EISDIR),
        (lambda d: d.rename("/none", "/x"), errno.ENOENT),
        (lambda d: d.rename("/file", "/none/x"), errno.ENOENT),
        (lambda d: d.rename("/file", "/q"), errno.EISDIR),
        (lambda d: d.rename("/q", "/file"), errno.ENOTDIR),
        (lambda d: d.rename("/q/active", "/q"), errno.ENOTEMPTY),
        (lambda d: d.rename("/q", "/q/active/q"), errno.EINVAL),
        (lambda d: d.stat("/none"), errno.ENOENT),
        (lambda d: d.stat("/file/x"), errno.ENOTDIR),
        (lambda d: d.list("/none"), errno.ENOENT),
        (lambda d: d.list("/file"), errno.ENOTDIR),
        (lambda d: d.mkdir("/file"), errno.EEXIST),
        (lambda d: d.remove_directory("/q"), errno.ENOTEMPTY),
        (lambda d: d.remove_directory("/file"), errno.ENOTDIR),
        (lambda d: d.remove_directory("/none"), errno.ENOENT),
        (lambda d: d.set_attributes("/none", mode=0), errno.ENOENT),
    ],
)
def test_errors_have_the_number_and_text_of_the_system_call(
    disk: Disk, action: Action, code: int
) -> None:
    disk.write("/file", b"")
    with pytest.raises(OSError) as caught:
        action(disk)
    assert caught.value.errno == code
    assert caught.value.strerror
    assert disk.list("/") == ["file", "q"]


def test_paths_are_absolute(disk: Disk) -> None:
    for action in (disk.open, disk.create, disk.mkdir):
        with pytest.raises(ValueError, match="relative"):
            action("relative/path")


def test_directories_are_made_with_their_parents(disk: Disk) -> None:
    disk.mkdir("/a/b/c", mode=0o700, uid=102, gid=105)
    disk.mkdir("/a/b/c", mode=0o755)
    assert disk.stat("/a/b/c") == Stat(4096, 0o700, 102, 105, 1_000_000, True)
    assert disk.stat("/a/b").mode == 0o755
    disk.remove_directory("/a/b/c")
    assert disk.list("/a/b") == []
    assert disk.exists("/")


def test_times_and_owners_can_be_set(world: World, disk: Disk) -> None:
    file = disk.create("/x")
    disk.touch(file, 5)
    assert disk.stat("/x").mtime == 5
    world.run_for(1)
    disk.append("/x", b"y")
    assert disk.stat("/x").mtime == 2_000_000
    disk.set_attributes("/x", mode=0o600, uid=1, gid=2)
    assert disk.stat("/x")[1:4] == (0o600, 1, 2)


class TestCrash:
    def test_what_was_synced_survives_and_what_was_not_is_lost(
        self, world: World, disk: Disk
    ) -> None:
        def task() -> Wait[None]:
            file = disk.create("/q/a")
            file.data += b"synced"
            yield disk.sync(file)
            file.data += b" not synced"
            disk.write("/q/b", b"never")

        world.start_task(task(), "writer")
        world.settle()
        disk.crash()
        assert disk.read("/q/a") == b"synced"
        assert disk.read("/q/b") == b""

    def test_all_can_be_made_durable(self, disk: Disk) -> None:
        disk.write("/q/b", b"config")
        disk.sync_all()
        disk.crash()
        assert disk.read("/q/b") == b"config"


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "action"),
        [
            (DiskFull(path="/q/", operation="create"), lambda d: d.create("/q/x")),
            (DiskFull(path="/q/"), lambda d: d.append("/q/x", b"")),
            (DiskFull(machine="mx"), lambda d: d.mkdir("/new")),
            (DiskFull(), lambda d: d.remove("/file")),
            (DiskFull(), lambda d: d.rename("/file", "/other")),
        ],
    )
    def test_a_full_disk(self, world: World, disk: Disk, fault: DiskFault, action: Action) -> None:
        disk.write("/file", b"")
        world.faults.add(fault)
        with pytest.raises(OSError, match="No space left on device") as caught:
            action(disk)
        assert caught.value.errno == errno.ENOSPC
        assert fault.fired == 1
        assert disk.read("/file") == b""

    @pytest.mark.parametrize(
        "fault",
        [
            DiskFull(machine="other"),
            DiskFull(path="/elsewhere"),
            DiskFull(operation="sync"),
            DiskFull(times=0),
        ],
    )
    def test_a_fault_that_does_not_concern_us_is_reported_as_unused(
        self, world: World, disk: Disk, fault: DiskFault
    ) -> None:
        world.faults.add(fault)
        disk.write("/q/x", b"fine")
        assert disk.read("/q/x") == b"fine"
        assert world.unused_faults() == [fault]

    def test_a_read_error(self, world: World, disk: Disk) -> None:
        disk.write("/q/x", b"")
        world.faults.add(DiskError(path="/q/x", operation="read", times=1))
        with pytest.raises(OSError, match="Input/output error"):
            disk.read("/q/x")
        assert disk.read("/q/x") == b""

    def test_sync_may_fail(self, world: World, disk: Disk) -> None:
        world.faults.add(DiskFull(operation="sync", path="/q/active"))
        file = disk.create("/q/incoming/x")

        def task() -> Wait[str]:
            yield disk.sync(file)
            disk.rename("/q/incoming/x", "/q/active/x")
            try:
                yield disk.sync(file)
            except OSError as error:
                return error.strerror or ""
            return ""

        done = world.start_task(task(), "writer")
        world.settle()
        assert done.value == "No space left on device"

    def test_a_slow_disk_takes_its_time(self, world: World, disk: Disk) -> None:
        world.faults.add(SlowDisk(path="/q", seconds=2.5))
        file = disk.create("/q/x")
        file.data += b"data"

        def task() -> Wait[int]:
            yield disk.sync(file)
            return world.now

        done = world.start_task(task(), "writer")
        world.settle()
        assert done.value == 3_500_000
        assert file.synced == 4


def test_changes_are_in_the_trace() -> None:
    world = World(keep_trace=True)
    disk = world.machine("mx").files
    disk.create("/a")
    disk.rename("/a", "/b")
    disk.append("/b", b"x")
    disk.remove("/b")
    events = [(event.kind, event.facts[:3]) for event in world.trace.events()]
    assert events == [
        ("create", ("mx", "/a")),
        ("rename", ("mx", "/a", "/b")),
        ("write", ("mx", "/b", 1)),
        ("remove", ("mx", "/b")),
    ]
