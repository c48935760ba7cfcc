# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making and removing snapshots."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import space
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.files import bytes_on_disk
from ansible_collections.macops.parallels.plugins.module_utils._parallels import vm as vm_room
from ansible_collections.macops.parallels.plugins.module_utils._parallels.snapshots import (
    chosen,
    create_snapshot,
    find_snapshots,
    refuse_needed,
    remove_snapshots,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Vm, get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
OTHER = "bd70007c-83b8-4642-b1d0-fa8ddfa0a4cf"
SYNC = "Failed to delete snapshot: Data synchronization is currently in progress. Try to perform the operation later."


def identity(number: int) -> str:
    return f"{number:08d}-0000-0000-0000-000000000000"


# base -> (updates -> office, test); a second "test" stands alone.
TREE = {1: ("base", 0), 2: ("updates", 1), 3: ("office", 2), 4: ("test", 1), 5: ("test", 0)}


def tree(*numbers: int) -> dict[str, Any]:
    return {
        f"{{{identity(number)}}}": {
            "name": TREE[number][0],
            "date": f"2026-11-01 10:00:0{number}",
            "state": "poweroff",
            "current": False,
            "parent": f"{{{identity(TREE[number][1])}}}" if TREE[number][1] in numbers else "",
        }
        for number in numbers
    }


def a_vm(mac: Any, *numbers: int, **facts: Any) -> Vm:
    facts = facts or mac.bundle(mac.folder / "its own" / "x.pvm")
    mac.list((UUID, "x", "stopped")).look(UUID, tree(*numbers), Name="x", **facts)
    return get_vm(mac.prl, "x")


def snapshots(mac: Any, *numbers: int) -> None:
    mac.expect("prlctl", "snapshot-list", UUID, "-j", out=tree(*numbers) if numbers else "")


def at_rest(mac: Any, state: str = "stopped") -> None:
    mac.list((UUID, "x", state))


@pytest.mark.parametrize(
    ("name", "children", "numbers"),
    [
        (None, False, [5, 4, 3, 2, 1]),
        ("base", False, [1]),
        ("base", True, [4, 3, 2, 1]),
        ("updates", True, [3, 2]),
        ("office", True, [3]),
        (identity(4), False, [4]),
        (f"{{{identity(4)}}}", False, [4]),
        ("gone", True, []),
    ],
)
def test_what_is_chosen_leaves_first(mac: Any, name: str, children: bool, numbers: list[int]) -> None:
    vm = a_vm(mac, 1, 2, 3, 4, 5)
    assert [snapshot.id for snapshot in chosen(vm, name, children)] == [identity(number) for number in numbers]


def test_a_name_that_two_snapshots_have_is_an_error(mac: Any) -> None:
    vm = a_vm(mac, 1, 4, 5)
    with pytest.raises(TaskError, match=rf"has 2 snapshots named 'test': {identity(4)}, {identity(5)}. Use the id"):
        chosen(vm, "test", False)
    assert len(find_snapshots(vm, "test")) == 2


def test_snapshots_are_removed_one_by_one_each_proven(mac: Any) -> None:
    vm = a_vm(mac, 1, 2)
    mac.expect("prlctl", "snapshot-delete", UUID, "-i", f"{{{identity(2)}}}")
    at_rest(mac, "del_snapshot")
    at_rest(mac)
    snapshots(mac, 1)
    mac.expect("prlctl", "snapshot-delete", UUID, "-i", f"{{{identity(1)}}}")
    at_rest(mac)
    snapshots(mac)
    snapshots(mac)
    assert remove_snapshots(mac.prl, vm, chosen(vm, None, False), 60) == []


def test_the_race_of_parallels_is_waited_out(mac: Any) -> None:
    vm = a_vm(mac, 1)
    for _try in range(3):
        mac.expect("prlctl", "snapshot-delete", UUID, "-i", f"{{{identity(1)}}}", rc=255, err=SYNC)
        for _look in range(2):
            at_rest(mac)
            snapshots(mac, 1)
    mac.expect("prlctl", "snapshot-delete", UUID, "-i", f"{{{identity(1)}}}")
    at_rest(mac)
    snapshots(mac)
    snapshots(mac)
    assert remove_snapshots(mac.prl, vm, vm.snapshots, 60) == []
    assert len(mac.slept) == 3


def test_a_snapshot_that_remains_after_success_is_an_error(mac: Any) -> None:
    vm = a_vm(mac, 1)
    mac.expect("prlctl", "snapshot-delete", UUID, "-i", f"{{{identity(1)}}}", out="successfully deleted")
    for _look in range(9):
        at_rest(mac)
        snapshots(mac, 1)
    with pytest.raises(TaskError, match=r"a check shows that it did not delete the snapshot 'base' of 'x'"):
        remove_snapshots(mac.prl, vm, vm.snapshots, 60)


def test_a_snapshot_is_made_and_proven(mac: Any) -> None:
    vm = a_vm(mac, 5)
    mac.expect("prlctl", "snapshot", UUID, "-n", "base", "-d", "Vor dem Übungsstart", rc=255, err="PrlJob")
    snapshots(mac, 1, 5)
    at_rest(mac)
    snapshots(mac, 1, 5)
    assert [each.name for each in create_snapshot(mac.prl, vm, "base", "Vor dem Übungsstart", 60)] == ["base", "test"]


def test_an_old_snapshot_of_that_name_does_not_prove_the_new_one(mac: Any) -> None:
    vm = a_vm(mac, 5)
    mac.expect("prlctl", "snapshot", UUID, "-n", "test", rc=255, err="Out of disk space.")
    snapshots(mac, 5)
    at_rest(mac)
    with pytest.raises(TaskError, match=r"could not make the snapshot 'test' of 'x': Out of disk space"):
        create_snapshot(mac.prl, vm, "test", "", 60)


@pytest.mark.parametrize(("stands_on", "refused"), [(1, True), (5, False), (None, True)])
def test_a_snapshot_on_which_a_linked_clone_stands_is_kept(
    mac: Any, tmp_path: Path, stands_on: int, refused: bool
) -> None:
    base = f"<LinkedSnapshotUuid>{{{identity(stands_on)}}}</LinkedSnapshotUuid>" if stands_on else ""
    clone = mac.bundle(tmp_path / "clone.pvm", config=f"<LinkedVmUuid>{{{UUID}}}</LinkedVmUuid>{base}")
    vm = a_vm(mac, 1, 5)
    mac.list((UUID, "x", "stopped"), (OTHER, "The clone", "stopped"))
    mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[mac.info(**clone)])
    if refused:
        with pytest.raises(TaskError, match=r"would be lost with them: 'The clone'.*force: true") as caught:
            refuse_needed(mac.prl, vm, chosen(vm, "base", False))
        assert caught.value.details["linked_clones"] == [OTHER]
    else:
        refuse_needed(mac.prl, vm, chosen(vm, "base", False))


CONFIG = f"<LinkedVmUuid>{{{UUID}}}</LinkedVmUuid>"


def damage(bundle: Path, kind: str) -> None:
    config = bundle / "config.pvs"
    if kind == "cut off":
        config.write_text(config.read_text()[:-30])
    elif kind == "no file":
        config.unlink()
    elif kind == "no disk":
        shutil.rmtree(bundle)
    elif kind == "archived":
        shutil.rmtree(bundle)
        bundle.with_suffix(".pvmz").write_bytes(b"PK")


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("cut off", "config.pvs is not complete"),
        ("no file", "config.pvs does not exist. Connect the disk"),
        ("no disk", "clone.pvm/config.pvs does not exist. Connect the disk"),
        ("archived", "clone.pvmz/config.pvs does not exist"),
    ],
)
def test_a_vm_that_cannot_be_read_may_be_a_linked_clone(mac: Any, tmp_path: Path, kind: str, why: str) -> None:
    bundle = tmp_path / "clone.pvm"
    facts = mac.bundle(bundle, config=CONFIG)
    damage(bundle, kind)
    if kind == "archived":
        facts["Home"] = str(bundle.with_suffix(".pvmz"))
    vm = a_vm(mac, 1)
    mac.list((UUID, "x", "stopped"), (OTHER, "The clone", "invalid"))
    mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[mac.info(**facts)])
    with pytest.raises(TaskError, match=rf"It is not known whether linked clones.*'The clone': .*{why}") as caught:
        refuse_needed(mac.prl, vm, vm.snapshots)
    assert caught.value.details == {"unreadable": [OTHER]}
    assert "or accept the loss of linked clones with force: true" in caught.value.message


def test_a_vm_in_a_folder_without_access_may_be_a_linked_clone(
    mac: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = mac.bundle(tmp_path / "clone.pvm", config=CONFIG)

    def denied(path: str, **_options: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    vm = a_vm(mac, 1)
    monkeypatch.setattr(vm_room, "open_regular", denied)
    mac.list((UUID, "x", "stopped"), (OTHER, "The clone", "stopped"))
    mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[mac.info(**facts)])
    with pytest.raises(
        TaskError, match=r"'The clone': .*config.pvs cannot be read: Permission denied.*Full Disk Access"
    ):
        refuse_needed(mac.prl, vm)


@pytest.mark.parametrize("home", ["", None])
def test_a_vm_whose_place_is_not_known_may_be_a_linked_clone(mac: Any, home: Any) -> None:
    vm = a_vm(mac, 1)
    mac.list((UUID, "x", "stopped"), (OTHER, "The clone", "stopped"))
    mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[mac.info(**{"Home": home, "Home path": home})])
    mac.list((UUID, "x", "stopped"), (OTHER, "The clone", "stopped"))
    with pytest.raises(TaskError, match=r"'The clone': Parallels does not report where its files are"):
        refuse_needed(mac.prl, vm)


def test_a_vm_that_parallels_does_not_describe_may_be_a_linked_clone(mac: Any) -> None:
    vm = a_vm(mac, 1)
    mac.list((UUID, "x", "stopped"), (OTHER, "The clone", "stopped"))
    for _try in range(3):
        mac.expect("prlctl", "list", "-i", "-j", OTHER, rc=255, err="Failed to get VM config: The share is gone.")
    mac.list((UUID, "x", "stopped"), (OTHER, "The clone", "stopped"))
    with pytest.raises(TaskError, match=r"'The clone': Parallels refused to answer: .*The share is gone"):
        refuse_needed(mac.prl, vm)


def test_a_template_may_be_a_linked_clone(mac: Any, tmp_path: Path) -> None:
    facts = mac.bundle(tmp_path / "clone.pvm", config=CONFIG)
    vm = a_vm(mac, 1)
    mac.list((UUID, "x", "stopped"))
    rows = [{"uuid": OTHER, "name": "The clone", "status": "stopped"}]
    mac.expect("prlctl", "list", "-a", "-t", "-j", out=rows)
    mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[mac.info(**facts)])
    with pytest.raises(TaskError, match=r"would be lost with them: 'The clone'"):
        refuse_needed(mac.prl, vm)


def test_packed_vms_depend_on_no_other(mac: Any, tmp_path: Path) -> None:
    vm = a_vm(mac, 1)
    mac.list((UUID, "x", "stopped"), (OTHER, "an image", "stopped"))
    mac.expect("prlctl", "list", "-i", "-j", OTHER, out=[mac.info(**mac.home(tmp_path / "image.pvmp"))])
    refuse_needed(mac.prl, vm)


def test_a_vm_without_snapshots_has_no_linked_clones(mac: Any) -> None:
    refuse_needed(mac.prl, a_vm(mac))


def test_snapshots_that_cannot_be_listed_are_not_none(mac: Any) -> None:
    mac.list((UUID, "x", "stopped")).expect("prlctl", "list", "-i", "-j", UUID, out=[mac.info(Home="/p/x.pvmp")])
    for _try in range(3):
        mac.expect("prlctl", "snapshot-list", UUID, "-j", rc=255, err="Failed")
    vm = get_vm(mac.prl, "x")
    for ask in (lambda: chosen(vm, None, False), lambda: find_snapshots(vm, "base")):
        with pytest.raises(TaskError, match=r"cannot list the snapshots of '.*': it is packed\. Unpack it first"):
            ask()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"error": "busy"}, id="not a snapshot"),
        pytest.param({f"{{{identity(1)}}}": None}, id="no facts"),
        pytest.param({f"{{{identity(1)}}}": {"parent": f"{{{identity(1)}}}"}}, id="its own parent"),
        pytest.param(
            {
                f"{{{identity(1)}}}": {"parent": f"{{{identity(2)}}}"},
                f"{{{identity(2)}}}": {"parent": f"{{{identity(1)}}}"},
                f"{{{identity(3)}}}": {"parent": ""},
            },
            id="each other's parents",
        ),
    ],
)
def test_a_list_of_snapshots_that_is_not_understood_is_an_error(mac: Any, answer: Any) -> None:
    mac.list((UUID, "x", "stopped")).look(UUID, answer).list((UUID, "x", "stopped"))
    with pytest.raises(TaskError, match=r"a list of snapshots of the virtual machine .* cannot be understood"):
        get_vm(mac.prl, "x")


TOP = 9


def layers(disk: Path, sizes: dict[int, tuple[int, int]]) -> None:
    """Write the descriptor of a disk: {layer: (its parent, its size in kB)}."""
    disk.mkdir(parents=True)
    images = shots = ""
    for number, (parent, size) in sizes.items():
        (disk / f"{number}.hds").write_bytes(b"x" * size * 1024)
        guid = f"<GUID>{{{identity(number)}}}</GUID>"
        images += f"<Image>{guid}<Type>Compressed</Type><File>{number}.hds</File></Image>"
        shots += f"<Shot>{guid}<ParentGUID>{{{identity(parent)}}}</ParentGUID></Shot>"
    (disk / "DiskDescriptor.xml").write_text(
        f"<Parallels_disk_image><StorageData><Storage>{images}</Storage></StorageData>"
        f"<Snapshots><TopGUID>{{{identity(TOP)}}}</TopGUID>{shots}</Snapshots></Parallels_disk_image>"
    )


def split_layers(disk: Path, pieces: list[dict[int, tuple[int, int]]]) -> None:
    """Write the descriptor of a disk that is split: each piece has all layers."""
    disk.mkdir(parents=True)
    storages = shots = ""
    for piece, sizes in enumerate(pieces):
        images = ""
        for number, (parent, size) in sizes.items():
            (disk / f"{piece}.{number}.hds").write_bytes(b"x" * size * 1024)
            guid = f"<GUID>{{{identity(number)}}}</GUID>"
            images += f"<Image>{guid}<Type>Compressed</Type><File>{piece}.{number}.hds</File></Image>"
            if not piece:
                shots += f"<Shot>{guid}<ParentGUID>{{{identity(parent)}}}</ParentGUID></Shot>"
        storages += f"<Storage>{images}</Storage>"
    (disk / "DiskDescriptor.xml").write_text(
        f"<Parallels_disk_image><StorageData>{storages}</StorageData>"
        f"<Snapshots><TopGUID>{{{identity(TOP)}}}</TopGUID>{shots}</Snapshots></Parallels_disk_image>"
    )


@pytest.mark.parametrize("outside", [False, True])
def test_the_pieces_of_a_split_disk_and_disks_elsewhere_count_where_they_are(
    mac: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: bool
) -> None:
    home = tmp_path / "x.pvm"
    home.mkdir()
    folder = tmp_path / "elsewhere" if outside else home
    split_layers(folder / "harddisk1.hdd", [{1: (0, 400), TOP: (1, 40)}, {1: (0, 40), TOP: (1, 20)}])
    facts = mac.home(home)
    facts["Hardware"]["hdd0"]["image"] = str(folder / "harddisk1.hdd")
    vm = a_vm(mac, 1, **facts)
    place = str(folder if outside else tmp_path)
    monkeypatch.setattr(space, "free_bytes", lambda path: 60 * 1024 - 1 if path == place else 0)
    with pytest.raises(TaskError, match=r"Removing the snapshot 'base' of 'x' needs up to") as caught:
        remove_snapshots(mac.prl, vm, vm.snapshots, 60)
    assert caught.value.details["needed_bytes"] == 60 * 1024
    assert caught.value.details["path"] == place


@pytest.mark.parametrize(
    ("sizes", "needed"),
    [
        pytest.param({1: (0, 400), TOP: (1, 40)}, 40, id="little was written since"),
        pytest.param({1: (0, 40), TOP: (1, 400)}, 40, id="much was written since"),
        pytest.param({1: (0, 400), 2: (1, 40), TOP: (1, 80)}, 0, id="two layers stand on it"),
        pytest.param({1: (0, 400), TOP: (0, 40)}, 0, id="none stands on it"),
    ],
)
def test_the_room_for_merging_is_checked_before(
    mac: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict[int, tuple[int, int]], needed: int
) -> None:
    home = tmp_path / "x.pvm"
    layers(home / "harddisk1.hdd", sizes)
    vm = a_vm(mac, 1, **mac.home(home))
    monkeypatch.setattr(space, "free_bytes", lambda _path: needed * 1024 - 1)
    if needed:
        with pytest.raises(TaskError, match=r"Removing the snapshot 'base' of 'x' needs up to") as caught:
            remove_snapshots(mac.prl, vm, vm.snapshots, 60)
        assert caught.value.details["needed_bytes"] == needed * 1024
        assert caught.value.details["path"] == str(tmp_path)
    monkeypatch.setattr(space, "free_bytes", lambda _path: needed * 1024)
    mac.expect("prlctl", "snapshot-delete", UUID, "-i", f"{{{identity(1)}}}", rc=255, err="Out of disk space.")
    at_rest(mac)
    snapshots(mac, 1)
    with pytest.raises(TaskError, match=r"free now, and removing the snapshot 'base' of 'x' needs up to"):
        remove_snapshots(mac.prl, vm, vm.snapshots, 60)


def descriptor(kind: str, disk: Path) -> None:
    """Write the descriptor of a disk, damaged in a way."""
    path = disk / "DiskDescriptor.xml"
    text = path.read_text()
    if kind == "gone":
        path.unlink()
    elif kind == "cut off":
        path.write_text(text[:-30])
    elif kind == "empty":
        path.write_text("")
    elif kind == "a layer without a name":
        path.write_text(text.replace(f"<GUID>{{{identity(TOP)}}}</GUID><Type>", "<Type>"))
    elif kind == "a layer without a file":
        path.write_text(text.replace(f"<File>{TOP}.hds</File>", ""))


@pytest.mark.parametrize("kind", ["gone", "cut off", "empty", "a layer without a name", "a layer without a file"])
def test_without_the_list_of_its_layers_the_whole_disk_may_be_merged(
    mac: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    disk = tmp_path / "x.pvm" / "harddisk1.hdd"
    layers(disk, {1: (0, 400), TOP: (1, 40)})
    descriptor(kind, disk)
    vm = a_vm(mac, 1, **mac.home(tmp_path / "x.pvm"))
    needed = bytes_on_disk(str(disk))
    assert needed > 440 * 1024
    monkeypatch.setattr(space, "free_bytes", lambda _path: needed - 1)
    with pytest.raises(TaskError, match=r"Removing the snapshot 'base' of 'x' needs up to") as caught:
        remove_snapshots(mac.prl, vm, vm.snapshots, 60)
    assert caught.value.details["needed_bytes"] == needed


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("harddisk1.hdd", "The size of .*/harddisk1.hdd is not known. .*/harddisk1.hdd does not exist. Connect the"),
        (f"harddisk1.hdd/{TOP}.hds", r"The size of .*/9.hds is not known. .*/9.hds does not exist. Connect the disk"),
    ],
)
def test_a_disk_that_cannot_be_read_has_an_unknown_size(mac: Any, tmp_path: Path, gone: str, sentence: str) -> None:
    home = tmp_path / "x.pvm"
    layers(home / "harddisk1.hdd", {1: (0, 400), TOP: (1, 40)})
    path = home / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    vm = a_vm(mac, 1, **mac.home(home))
    with pytest.raises(TaskError, match=sentence) as caught:
        remove_snapshots(mac.prl, vm, vm.snapshots, 60)
    assert caught.value.details == {"path": str(path)}


def test_the_name_of_a_new_snapshot_can_be_seen(mac: Any) -> None:
    with pytest.raises(TaskError, match=r"The name of the snapshot is 'base\\n', which contains a control character"):
        create_snapshot(mac.prl, a_vm(mac), "base\n", "", 60)
