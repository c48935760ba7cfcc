# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prlctl pack, unpack."""

from __future__ import annotations

import os
from pathlib import Path

from . import jobs, texts
from .bundle import SUFFIX, Bundle
from .config import CONFIG, UNFINISHED_CONFIG, UNFINISHED_SUFFIX
from .errors import CommandError
from .guest_client import tell
from .jobs import Job, Steps, working
from .package import SUFFIX as PACKED_SUFFIX
from .package import DamagedPackage, Package, pack_bundle
from .session import Session
from .vms import Vm

_WRONG_DIGEST = "0" * 64


def _require_edition(session: Session) -> None:
    if session.mac.knob("pack_without_cli"):
        raise session.fail(texts.EDITION)


def run_pack(session: Session) -> int:
    """Turn a VM's bundle into one file."""
    name = session.one_word(session.parse({}, {}))
    mac = session.mac
    _require_edition(session)
    session.begin()
    with mac.locked() as state:
        vm = session.require(state, name)
        power = session.require_free(vm)
        _require_packable(session, vm, power)
        target = vm.home.with_suffix(PACKED_SUFFIX)
        if target.exists() and not vm.begun and mac.knob("pack_existing") == "fail":
            raise session.fail(texts.exists(str(target)))
        if power in ("running", "paused"):
            tell(mac, vm.record, "save")
        job = Job(mac, vm.record, "being packed")
    jobs.run(mac, lambda: _pack(session, vm, target, job))
    if mac.strike("kill_after_pack"):
        jobs.kill_self()
    session.done()
    return 0


def _require_packable(session: Session, vm: Vm, power: str) -> None:
    if vm.packed:
        raise session.fail(texts.not_possible(vm.name, "is already packed"))
    problem = vm.problem()
    if problem:
        raise session.fail(texts.not_possible(vm.name, f"is invalid: {problem}"))
    config = vm.config()
    for applies, knob, reason in (
        (power in ("running", "paused"), "pack_running", texts.busy(power)),
        (power == "suspended", "pack_suspended", texts.wrong_state(vm.name, power)),
        (bool(vm.snapshots()), "pack_snapshots", texts.not_possible(vm.name, "has snapshots")),
        (bool(config.linked_vm), "pack_linked", texts.not_possible(vm.name, "is a linked clone")),
        (config.encrypted, "pack_encrypted", texts.not_possible(vm.name, "is encrypted")),
    ):
        if applies and session.mac.knob(knob) == "fail":
            raise session.fail(reason)


def _pack(session: Session, vm: Vm, target: Path, job: Job) -> None:
    mac = session.mac
    with working(job):
        empty, missing = mac.strike("pack_empty"), mac.strike("pack_missing")
        if empty or missing:
            if empty:
                target.write_bytes(b"")
            if (empty or missing)["param"] == "moved":
                _move_to(vm, target)
            return
        if mac.knob("intermediate_bundle") and not vm.config().linked_vm:
            _begin(vm, "pack")
        try:
            _write_package(session, vm, target)
        except (CommandError, OSError):
            _end(vm, vm.home.with_suffix(SUFFIX))
            raise
        if mac.strike("pack_rc0_unchanged"):
            _end(vm, vm.home.with_suffix(SUFFIX))
            return
        leaves, begun = mac.knob("packed_leaves_pvm"), bool(vm.begun)
        bundle = vm.bundle
        if leaves and begun:
            bundle = Bundle(_rename(bundle.path, SUFFIX))
        _end(vm, target)
        if not leaves:
            bundle.remove()


def _rename(bundle: Path, suffix: str) -> Path:
    """Rename a bundle, and its configuration with it, to or from an intermediate one."""
    target = bundle.with_suffix(suffix)
    old, new = (CONFIG, UNFINISHED_CONFIG) if suffix == UNFINISHED_SUFFIX else (UNFINISHED_CONFIG, CONFIG)
    os.rename(bundle / old, bundle / new)
    os.rename(bundle, target)
    return target


def _begin(vm: Vm, verb: str) -> None:
    """Bring a VM into the intermediate state, unless an earlier call has."""
    home = vm.home.with_suffix(UNFINISHED_SUFFIX)
    with vm.mac.locked():
        if verb == "pack" and vm.home != home:
            _rename(vm.home, UNFINISHED_SUFFIX)
        _move_to(vm, home, verb)


def _end(vm: Vm, home: Path) -> None:
    """Bring a VM out of the intermediate state."""
    with vm.mac.locked():
        if vm.begun == "pack" and home.suffix == SUFFIX:
            _rename(vm.home, SUFFIX)
        _move_to(vm, home)


def _write_package(session: Session, vm: Vm, target: Path) -> None:
    mac, bundle = session.mac, vm.bundle
    steps = Steps(mac, session.console, "pack", bundle.data_bytes(), mac.knob("pack_seconds"), "Operation progress ...")
    growing = target.with_name(target.name + ".tmp") if mac.knob("pack_temp_name") else target
    whole = _self_contained(vm)
    digest = pack_bundle(whole, growing, steps, bundle.path.with_suffix(SUFFIX).name)
    if whole.path != bundle.path:
        whole.remove()
    steps.finish()
    if growing != target:
        os.replace(growing, target)
    if mac.knob("checksum_file"):
        wrong = mac.strike("wrong_checksum_file")
        target.with_name(f"{target.stem}.sha256.txt").write_text(_WRONG_DIGEST if wrong else digest, encoding="ascii")


def _self_contained(vm: Vm) -> Bundle:
    """Return the bundle to pack: that of a linked clone is first made one that needs no other VM."""
    config = vm.config()
    if not config.linked_vm:
        return vm.bundle
    flat = vm.bundle.copy_merged_to(vm.home.with_name(f".{vm.home.name}.flat"))
    config.linked_vm = config.linked_snapshot = ""
    config.save(flat.path)
    return flat


def _move_to(vm: Vm, home: Path, begun: str = "") -> None:
    with vm.mac.locked() as state:
        for record in (state["vms"][vm.uuid], vm.record):
            record.update(home=str(home), begun=begun)


def run_unpack(session: Session) -> int:
    """Turn a packed VM into a bundle again."""
    name = session.one_word(session.parse({}, {}))
    mac = session.mac
    _require_edition(session)
    session.begin()
    with mac.locked() as state:
        vm = session.require(state, name)
        session.require_free(vm)
        if not vm.packed and not vm.begun:
            raise session.fail(texts.not_possible(vm.name, "is not packed"))
        try:
            header = vm.content.header()
        except DamagedPackage as error:
            raise session.fail(texts.not_possible(vm.name, f"is damaged: {error}")) from error
        own = vm.home.stem + SUFFIX
        target = vm.home.with_name(header["bundle"] if mac.knob("unpack_bundle_name") == "inner" else own)
        if target.exists():
            raise session.fail(texts.exists(str(target)))
        job = Job(mac, vm.record, "being unpacked")
    jobs.run(mac, lambda: _unpack(session, vm, target, header["data"], job))
    session.done()
    return 0


def _unpack(session: Session, vm: Vm, target: Path, total: int, job: Job) -> None:
    mac, package = session.mac, Package(vm.image)
    with working(job):
        unpacked = target
        if mac.knob("intermediate_bundle") or vm.begun:
            unpacked = vm.home.with_suffix(UNFINISHED_SUFFIX)
            if unpacked.exists():
                Bundle(unpacked).remove()
            _begin(vm, "unpack")
        steps = Steps(mac, session.console, "unpack", total, mac.knob("pack_seconds"), "Operation progress ...")
        try:
            bundle = package.unpack_to(unpacked, steps)
        except (DamagedPackage, CommandError, OSError) as error:
            _end(vm, package.path)
            if not isinstance(error, DamagedPackage):
                raise
            raise CommandError(texts.failed("unpack", texts.not_possible(vm.name, f"is damaged: {error}"))) from error
        steps.finish()
        config = bundle.config()
        if (config.uuid, config.name) != (vm.uuid, vm.name):
            config.uuid, config.name = vm.uuid, vm.name
            config.save(bundle.path)
        if unpacked != target:
            os.rename(_rename(unpacked, SUFFIX), target)
        _move_to(vm, target)
        package.path.unlink()
