# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles with real bytes: what is written stays the same through snapshots, clones and packages."""

from __future__ import annotations

import filecmp
import os
import zlib
from pathlib import Path

import pytest
from parallels_simulator import fingerprint as fingerprints
from parallels_simulator.hds import ExpandingImage
from parallels_simulator.sparse import MIB, Noise
from simulator_harness import SimulatedMac, allocated, disk_content


def _same_folders(one: Path, other: Path, ignore: tuple = ()) -> bool:
    compared = filecmp.dircmp(one, other, ignore=list(ignore))
    same = not (compared.left_only or compared.right_only or compared.funny_files)
    _match, different, errors = filecmp.cmpfiles(one, other, compared.common_files, shallow=False)
    return (
        same
        and not different
        and not errors
        and all(_same_folders(one / name, other / name, ignore) for name in compared.common_dirs)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"data": "3M"},
        {"data": "2M", "format": "plain", "disk": "32M"},
        {"data": "1M", "disks": 2, "snapshots": "one(two(three),four)"},
        {"data": "2M", "waste": "6M"},
        {"data": "64K", "state": "suspended", "os": "ubuntu"},
    ],
    ids=["expanding", "plain", "snapshots", "waste", "suspended"],
)
def test_unpack_gives_back_what_pack_took(mac: SimulatedMac, tmp_path: Path, options: dict) -> None:
    identity = mac.vm("Größe 1", **options)
    before = mac.fingerprint("Größe 1")
    state, info = mac.state("Größe 1"), mac.info("Größe 1")
    copy = tmp_path / "copy"
    mac.registered("Größe 1").bundle.copy_to(copy)
    mac.ok("pack", "Größe 1")
    assert sorted(os.listdir(mac.home)) == ["Größe 1.pvmp", "Größe 1.sha256.txt"]
    packed = mac.info("Größe 1")
    assert packed["Home"] == f"{mac.home}/Größe 1.pvmp"
    assert packed["Hardware"]["hdd0"]["image"] == "harddisk1.hdd"
    assert packed["ID"] == identity
    assert mac.state("Größe 1") == state
    mac.ok("unpack", "Größe 1")
    assert mac.info("Größe 1") == info
    assert mac.fingerprint("Größe 1") == before
    assert _same_folders(mac.home / "Größe 1.pvm", copy)


def test_package_is_marked_and_holds_every_byte(mac: SimulatedMac) -> None:
    mac.vm("a", data="5M")
    mac.ok("pack", "a")
    image = mac.home / "a.pvmp"
    assert image.is_file()
    assert b"SIMULATION" in image.read_bytes().split(b"\n", 1)[0]
    assert image.stat().st_size >= 5 * MIB  # random bytes do not compress


def test_package_is_smaller_where_that_is_possible(mac: SimulatedMac) -> None:
    mac.vm("a", data="1M")
    bundle = mac.home / "a.pvm"
    (bundle / "parallels.log").write_text("the same line\n" * 100_000)
    mac.ok("pack", "a")
    assert (mac.home / "a.pvmp").stat().st_size < 1_300_000
    mac.ok("unpack", "a")
    assert (bundle / "parallels.log").read_text() == "the same line\n" * 100_000


def test_damaged_package_is_invalid_or_refused(mac: SimulatedMac) -> None:
    mac.vm("a", data="1M")
    mac.ok("pack", "a")
    image = mac.home / "a.pvmp"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in mac.prlctl("unpack", "a").err
    image.write_bytes(whole[:20])
    assert mac.state("a") == "invalid"
    assert mac.prlctl("unpack", "a").rc == 255


def test_forty_gigabytes_take_no_room(mac: SimulatedMac) -> None:
    for kind in ("plain", "expanding"):
        mac.vm(kind, disk="40G", data="64K", format=kind)
        bundle = mac.home / f"{kind}.pvm"
        assert mac.info(kind)["Hardware"]["hdd0"]["size"] == "40960Mb"
        assert 64 * 1024 <= allocated(bundle) < 8 * MIB
        mac.ok("clone", kind, "--name", f"{kind} 2")
        assert allocated(mac.home / f"{kind} 2.pvm") < 8 * MIB
    plain = next((mac.home / "plain.pvm" / "harddisk1.hdd").glob("*.hds"))
    assert plain.stat().st_size == 40 << 30
    mac.ok("pack", "plain")
    assert (mac.home / "plain.pvmp").stat().st_size < 8 * MIB


def test_data_does_not_compress() -> None:
    data = b"".join(Noise().blocks(5 * MIB))
    assert len(data) == 5 * MIB
    assert len(zlib.compress(data, 1)) > 0.99 * len(data)
    assert len({data[start : start + MIB] for start in range(0, len(data), MIB)}) == 5


@pytest.mark.parametrize("kind", ["expanding", "plain"])
def test_snapshots_go_and_what_the_guest_sees_stays(mac: SimulatedMac, kind: str) -> None:
    mac.vm("a", data="4M", snapshots="one(two(three,four(five)),six)", format=kind)
    vm = mac.registered("a")
    content = disk_content(vm)
    assert content
    for name in ("two", "five", "one", "six", "four", "three"):
        guid = mac.snapshots("a")[name]["id"]
        mac.ok("snapshot-delete", "a", "-i", guid)
        assert name not in mac.snapshots("a")
        assert disk_content(vm) == content, name
    assert len(list((mac.home / "a.pvm" / "harddisk1.hdd").glob("*.hds"))) == 1
    assert not (mac.home / "a.pvm" / "Snapshots.xml").exists()


def test_each_snapshot_holds_bytes_of_its_own(mac: SimulatedMac) -> None:
    mac.vm("flat", data="1M")
    mac.vm("tree", data="1M", snapshots="one(two,three)", snapshot_data="2M")
    assert allocated(mac.home / "tree.pvm") >= allocated(mac.home / "flat.pvm") + 6 * MIB


def test_delete_with_children(mac: SimulatedMac) -> None:
    mac.vm("a", snapshots="one(two(three),four)")
    mac.ok("snapshot-delete", "a", "--id", mac.snapshots("a")["two"]["id"], "--children")
    assert set(mac.snapshots("a")) == {"one", "four"}
    mac.ok("snapshot-delete", "a", "-c", "-i", mac.snapshots("a")["one"]["id"])
    assert mac.snapshots("a") == {}


def test_switching_goes_back_to_what_there_was(mac: SimulatedMac) -> None:
    mac.vm("a", data="1M", snapshots="one")
    vm = mac.registered("a")
    guid = mac.snapshots("a")["one"]["id"]
    later = disk_content(vm)
    mac.ok("snapshot-switch", "a", "-i", guid)
    before = disk_content(vm)
    assert before != later
    vm.bundle.disks()[0].write(0, MIB, Noise())
    assert disk_content(vm) != before
    mac.ok("snapshot-switch", "a", "-i", guid)
    assert disk_content(vm) == before


def test_snapshot_of_a_running_vm_keeps_its_memory(mac: SimulatedMac) -> None:
    mac.vm("a", state="running")
    mac.ok("snapshot", "a", "--name", "hot")
    item = mac.snapshots("a")["hot"]
    assert item["state"] == "poweron"
    memory = mac.home / "a.pvm" / "Snapshots" / f"{item['id']}.mem"
    assert memory.is_file()
    mac.ok("snapshot-delete", "a", "-i", item["id"])
    assert not memory.exists()


def test_clone_is_a_vm_of_its_own(mac: SimulatedMac, tmp_path: Path) -> None:
    mac.vm("source", data="2M", disks=2, snapshots="s", description="d")
    before = mac.fingerprint("source")
    mac.ok("clone", "source", "--name", "Größe", "--dst", str(tmp_path))
    source, clone = mac.info("source"), mac.info("Größe")
    assert clone["Home"] == f"{tmp_path}/Größe.pvm/"
    assert clone["ID"] != source["ID"]
    assert clone["Hardware"]["net0"]["mac"] != source["Hardware"]["net0"]["mac"]
    assert clone["Hardware"]["hdd1"]["image"] == f"{tmp_path}/Größe.pvm/harddisk2.hdd"
    for number in range(2):
        assert disk_content(mac.registered("Größe"), number) == disk_content(mac.registered("source"), number)
    assert mac.fingerprint("source") == before
    assert mac.fingerprint("Größe") != before


def test_linked_clone_depends_on_its_parent(mac: SimulatedMac) -> None:
    mac.vm("parent", data="2M")
    mac.ok("clone", "parent", "--name", "child", "--linked")
    assert set(mac.snapshots("parent")) == {"Snapshot for linked clone"}
    config = (mac.home / "child.pvm" / "config.pvs").read_text()
    assert f"<LinkedVmUuid>{{{mac.info('parent')['ID']}}}</LinkedVmUuid>" in config
    descriptor = (mac.home / "child.pvm" / "harddisk1.hdd" / "DiskDescriptor.xml").read_text()
    assert f"<File>{mac.home}/parent.pvm/" in descriptor
    assert "<LinkedVmUuid />" in (mac.home / "parent.pvm" / "config.pvs").read_text()
    assert mac.state("child") == "stopped"
    mac.ok("snapshot-delete", "parent", "-i", mac.snapshots("parent")["Snapshot for linked clone"]["id"])
    assert mac.state("parent") == "stopped"
    assert mac.state("child") == "invalid"


def test_secure_boot_key_lies_in_the_bundle(mac: SimulatedMac) -> None:
    outdated = "7ec69a1bd679fb7aa7b22ce6b3d0204113b19591db1f1d52014022d8c74f0d53"
    mac.vm("old", secure_boot="outdated")
    mac.vm("new", secure_boot="current")
    mac.vm("linux", os="ubuntu")
    key = f"<UefiPlatformKeySha256>{outdated}</UefiPlatformKeySha256>"
    assert key in (mac.home / "old.pvm" / "VmInfo.pvi").read_text()
    other = (mac.home / "new.pvm" / "VmInfo.pvi").read_text()
    assert "UefiPlatformKeySha256" in other
    assert outdated not in other
    assert "UefiPlatformKeySha256" not in (mac.home / "linux.pvm" / "VmInfo.pvi").read_text()


@pytest.mark.parametrize("victim", ["config.pvs", "harddisk1.hdd/DiskDescriptor.xml", "*.hds"])
def test_deleted_files_make_a_vm_invalid(mac: SimulatedMac, victim: str) -> None:
    identity = mac.vm("a")
    bundle = mac.home / "a.pvm"
    path = next((bundle / "harddisk1.hdd").glob(victim)) if "*" in victim else bundle / victim
    path.unlink()
    assert mac.state("a") == "invalid"
    info = mac.info("a")
    assert (info["ID"], info["State"], info["OS"]) == (identity, "invalid", "win-11")
    for arguments in (("start", "a"), ("pack", "a"), ("clone", "a", "--name", "b"), ("snapshot", "a", "-n", "s")):
        assert mac.prlctl(*arguments).rc == 255
    mac.ok("delete", "a")
    assert not bundle.exists()


# --- compaction ---------------------------------------------------------------------------------------------------


def _blocks(text: str) -> dict[str, int]:
    return {line.split(":")[0]: int(line.split(":")[1]) for line in text.splitlines()}


def test_compaction_gives_back_what_the_guest_does_not_use(mac: SimulatedMac) -> None:
    mac.vm("a", data="3M", waste="10M")
    disk = str(mac.home / "a.pvm" / "harddisk1.hdd")
    content, size = disk_content(mac.registered("a")), allocated(mac.home / "a.pvm")
    estimate = _blocks(mac.run("prl_disk_tool", "compact", "--info", "--hdd", disk).out)
    assert estimate == {"Block size": 2048, "Total blocks": 1024, "Allocated blocks": 13, "Used blocks": 3}
    assert allocated(mac.home / "a.pvm") == size
    assert mac.run("prl_disk_tool", "compact", "--hdd", disk).rc == 0
    assert allocated(mac.home / "a.pvm") <= size - 5 * MIB
    assert mac.run("prl_disk_tool", "compact", "--buildmap", "--hdd", disk).rc == 0
    assert allocated(mac.home / "a.pvm") <= size - 10 * MIB
    compacted = disk_content(mac.registered("a"))
    assert compacted == {block: content[block] for block in range(3)}
    assert _blocks(mac.run("prl_disk_tool", "compact", "-i", "--hdd", disk).out)["Allocated blocks"] == 3


def test_released_blocks_are_filled_from_the_end(tmp_path: Path) -> None:
    image = ExpandingImage.create(tmp_path / "x.hds", 16 * MIB)
    image.append((block, bytes([block + 1]) * MIB) for block in range(8))
    image.release([1, 3, 7])
    again = ExpandingImage.open(tmp_path / "x.hds")
    assert again.used() == [0, 2, 4, 5, 6]
    with open(tmp_path / "x.hds", "rb") as file:
        assert all(again.read_block(file, block) == bytes([block + 1]) * MIB for block in again.used())
    assert (tmp_path / "x.hds").stat().st_size == (again.first + 5) * MIB


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"format": "plain"}, "plain"),
        ({"snapshots": "s"}, "has snapshots"),
        ({"state": "running"}, "busy"),
        ({"state": "suspended"}, "suspended"),
    ],
)
def test_what_cannot_be_compacted(mac: SimulatedMac, options: dict, reason: str) -> None:
    mac.vm("a", **options)
    before = mac.fingerprint("a")
    result = mac.run("prl_disk_tool", "compact", "--hdd", str(mac.home / "a.pvm" / "harddisk1.hdd"))
    assert result.rc == 255
    assert reason in result.err
    assert mac.fingerprint("a") == before


def test_disk_tool_usage(mac: SimulatedMac, tmp_path: Path) -> None:
    assert mac.run("prl_disk_tool", "grow").rc == 1
    assert mac.run("prl_disk_tool", "compact").rc == 1
    assert mac.run("prl_disk_tool", "compact", "--hdd", str(tmp_path), "--faster").rc == 1
    assert mac.run("prl_disk_tool", "compact", "--hdd", str(tmp_path)).rc == 255
    mac.vm("a", state="suspended")
    disk = str(mac.home / "a.pvm" / "harddisk1.hdd")
    assert mac.run("prl_disk_tool", "compact", "--force", "--hdd", disk).rc == 0
    assert mac.state("a") == "stopped"


# --- the fingerprint ----------------------------------------------------------------------------------------------


def test_fingerprint_ignores_the_power_state(mac: SimulatedMac) -> None:
    mac.vm("a", data="2M", state="running", snapshots="s")
    before = mac.fingerprint("a")
    for arguments in (("stop", "a"), ("clone", "a", "--name", "b"), ("start", "a"), ("suspend", "a")):
        mac.ok(*arguments)
        assert mac.fingerprint("a") == before, arguments


def test_fingerprint_sees_every_change(mac: SimulatedMac) -> None:
    mac.vm("a", data="2M")
    seen = {mac.fingerprint("a")}

    def changed() -> None:
        now = mac.fingerprint("a")
        assert now not in seen
        seen.add(now)

    mac.ok("set", "a", "--description", "other")
    changed()
    mac.ok("snapshot", "a", "-n", "s")
    changed()
    image = next((mac.home / "a.pvm" / "harddisk1.hdd").glob("*.hds"))
    with open(image, "r+b") as file:
        file.seek(-10, os.SEEK_END)
        other = bytes([file.read(1)[0] ^ 0xFF])
        file.seek(-10, os.SEEK_END)
        file.write(other)
    changed()
    (mac.home / "a.pvm" / "new file").write_text("")
    changed()
    mac.ok("pack", "a")
    changed()


def test_fingerprint_does_not_depend_on_holes(mac: SimulatedMac, monkeypatch: pytest.MonkeyPatch) -> None:
    mac.vm("a", data="1M", disk="32M", format="plain")
    before = mac.fingerprint("a")
    monkeypatch.setattr(fingerprints, "extents", lambda _handle, size: iter([(0, size)]))
    assert mac.fingerprint("a") == before
