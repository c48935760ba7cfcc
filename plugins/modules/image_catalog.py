#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of the images that are published in a store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_catalog
short_description: Reads and keeps the records of the published images of a store
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - The catalog is the file C(catalog.json) beside the images in the store. It holds a record of each image that is
    published there; its link, its checksum, its size, when it was published, and from what it was made.
  - A record is that of one image, by name, version and architecture. What is published never changes, because the
    Management Portal knows it by its checksum. A record with the same name, version and architecture but other bytes
    is an error.
  - Several hosts may change it at the same time. Whoever finds the catalog changed since it was read takes another
    turn from what is there now, and each change is read again to prove that it is there.
  - A catalog that is not understood is an error, and is never written over.
  - With O(signing_key_path), each record that is added or changed is signed, and so is the catalog as a whole, in
    C(catalog.json.sig) beside it. A host without a key that changes a record takes its signature away.
  - A bad version is withdrawn. It is not offered any more, but its record stays and says why. Old versions are removed
    with their files. A record never promises a file that is not there, wherever a run is killed.
  - Beside the catalog, a page for people is kept as the catalog is; C(index.html), see O(page).
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._attributes.actiongroup_stores
  - macops.parallels._store
  - macops.parallels._signing
  - macops.parallels._signing.verifying
attributes:
  check_mode:
    support: full
    details:
      - The catalog is read, the records and files that would change are told, and nothing is written or removed.
  diff_mode:
    support: full
    details:
      - Shows the records that change, rather than the whole catalog.
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  state:
    description:
      - V(present) adds O(record), if it is not there.
      - V(withdrawn) stops offering O(name) in O(version), on O(arch) or on all architectures. Its record stays, with
        O(reason) and the time. So do its files, unless O(remove_file=true).
      - V(published) offers a withdrawn version again. It is an error if its file was removed or has other bytes now.
      - V(protected) keeps O(name) in O(version) from being removed; V(unprotected) ends that.
      - V(absent) removes records, with the image and what is beside it (checksum, signature, provenance). Either those
        of O(name) in O(version), or all that are beyond O(keep) and O(older_than). Protected versions stay, and so do
        the newest version that is offered for each name and architecture, and the one that was published last.
      - V(read) only returns the records.
      - V(page) changes no record. It only makes the page as the catalog is.
      - V(signed) signs all records, or those of O(name), O(version) and O(arch), and the catalog. That is for a store
        in which images were published before they were signed, for a new key (see O(sign_anew)), and for a catalog
        whose writer was killed before it had signed. It is an error if a record was changed after it was signed.
    type: str
    choices: [present, withdrawn, published, protected, unprotected, absent, read, page, signed]
    default: present
  name:
    description:
      - Name of the image. Required with O(state=withdrawn), V(published), V(protected) and V(unprotected).
      - With O(state=absent), only records of this name are meant. With each state, only records of this name are
        returned.
    type: str
  version:
    description:
      - Version of the image. Required as O(name) is, and needs it.
      - With O(state=absent), exactly this version goes; without it, O(keep) and O(older_than) choose.
    type: str
  arch:
    description: Only this architecture is meant. By default all of them.
    type: str
    choices: [arm64, x86_64]
  record_state:
    description: With O(state=read), only records in this state are returned.
    type: str
    choices: [published, withdrawn]
  reason:
    description:
      - Why a version is withdrawn, for the people who look at the page. Required with O(state=withdrawn).
    type: str
  remove_file:
    description:
      - With O(state=withdrawn), whether the files are removed from the store, too. Then the version cannot be offered
        again.
    type: bool
    default: false
  keep:
    description:
      - With O(state=absent), how many of the newest versions that are offered are kept for each name and
        architecture. At least 1, which is the default where only O(older_than) is given.
      - Versions are ordered as people read them, 2026.9.0 before 2026.11.0. Withdrawn ones do not count. They go when
        they are older than all that are kept.
    type: int
  older_than:
    description:
      - With O(state=absent), only versions that were published longer ago than this go; a number with C(h), C(d),
        C(w) or C(y) (hours, days, weeks, years of 365 days), such as V(90d).
      - With O(keep), a version goes only when both allow it.
    type: str
  page:
    description:
      - Whether the page C(index.html) beside the catalog is kept as the catalog is. It lists all images with size,
        date, state, checksum and link, and tells how to enter them in the Management Portal.
      - V(auto) does so unless there is an C(index.html) that this module did not make. If the page cannot be written,
        that is a warning.
      - V(true) makes both an error.
      - V(false) leaves the page alone.
    type: str
    choices: [auto, 'true', 'false']
    default: auto
  inventory:
    description:
      - With O(state=read), also compare the files of the store with all records. See RV(inventory).
    type: bool
    default: false
  writable:
    description:
      - With O(state=read), also prove that the folder is there and may be written to with these credentials, as
        M(macops.parallels.image_upload) does before it sends anything. So hours of work need not be done for an image
        that cannot be published.
      - A tiny file with a temporary name is written, renamed and removed for it, but not in check mode.
      - With O(signing_key_path), also prove that the key can sign.
    type: bool
    default: false
  sign_anew:
    description:
      - With O(state=signed), whether records that have a signature by another key are signed anew.
    type: bool
    default: true
  allowed_signers_path:
    description:
      - With O(state=read), all signatures are verified, and RV(signatures) tells what was found.
  require_signature:
    description:
      - With O(state=read), it is an error if the catalog, a record that is returned, or its provenance is not proven.
      - With the other states, nothing is changed without O(signing_key_path), nor in a catalog with a record that is
        not proven. Otherwise the new signature of the catalog would vouch for that record, too. O(state=signed) does
        not look at that.
      - With O(writable), it is an error if a change would be refused for one of these reasons.
  record:
    description:
      - The record of an image. Required with O(state=present).
      - When the same bytes are recorded already, only O(record.url) and O(record.file) are taken over; the other
        values stay as they were when the image was published.
    type: dict
    suboptions:
      name:
        description: Name of the image; lower-case letters, digits, C(.) and C(-).
        type: str
        required: true
      version:
        description: Version of the image, such as V(2026.11.0).
        type: str
        required: true
      arch:
        description: Architecture of the Macs for which the image is.
        type: str
        choices: [arm64, x86_64]
        required: true
      title:
        description: The name that the portal shows to users. The default is O(record.name).
        type: str
      description:
        description: The description that the portal shows to users.
        type: str
      file:
        description: File name of the image in the store. The default is made of name, version and architecture.
        type: str
      url:
        description:
          - The link from which the image is downloaded; an C(https://) address, without user name and password.
          - A C(file://) address is accepted for a store that is a folder.
        type: str
        required: true
      sha256:
        description: SHA-256 checksum of the image, as 64 hexadecimal digits.
        type: str
        required: true
      size:
        description: Size of the image in bytes.
        type: int
        required: true
      protected:
        description: Whether the image is to be kept, however many newer versions there are.
        type: bool
        default: false
      source:
        description: What the image was made from.
        type: dict
        suboptions:
          vm:
            description: Name of the virtual machine.
            type: str
          os:
            description: Its guest system, in the words of Parallels.
            type: str
          tools:
            description: Version of the Parallels Tools in it.
            type: str
      parallels:
        description: Version of Parallels Desktop by which the image was packed.
        type: str
      published_at:
        description:
          - When the image was published, in UTC, such as V(2026-11-22T10:00:00Z). The default is now.
          - For records that are taken over from another catalog.
        type: str
      schema:
        description: Version of the record's format, as it is in the records that are returned.
        type: int
        choices: [1]
        default: 1
      state:
        description: State of the image, as it is in the records that are returned.
        type: str
        choices: [published]
        default: published
      provenance:
        description: Address of the statement of provenance, as M(macops.parallels.image_provenance) returns it.
        type: str
      signed_by:
        description: Who has signed the record, as it is in the records that are returned.
        type: str
      signed_at:
        description: When it was signed, as it is in the records that are returned.
        type: str
      signature:
        description: Its signature, as it is in the records that are returned.
        type: str
seealso:
  - module: macops.parallels.image_upload
  - module: macops.parallels.image_provenance
  - module: macops.parallels.image_link_info
  - plugin: macops.parallels.golden_image_sheet
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read what is published
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    state: read
  register: catalog

- name: Add the record of an image
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    record:
      name: windows11
      version: 2026.11.0
      arch: arm64
      title: Contoso Windows 11 Pro
      description: With Office and the VPN client
      url: "{{ upload.url }}"
      sha256: "{{ upload.sha256 }}"
      size: "{{ upload.size }}"
      source:
        vm: Windows 11
        os: win-11
      parallels: 26.1.0

- name: Stop offering a bad version, and keep its file
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    state: withdrawn
    name: windows11
    version: 2026.10.0
    reason: The VPN client does not start. Use 2026.11.0.

- name: Offer it again
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    state: published
    name: windows11
    version: 2026.10.0

- name: Keep a version, however many newer ones there are
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    state: protected
    name: windows11
    version: 2026.9.0
    arch: arm64

- name: Keep the three newest versions of each image, and all that are younger than a quarter of a year
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    username: publisher
    password: "{{ image_store_password }}"
    state: absent
    keep: 3
    older_than: 90d

- name: Tell what of the store is not as the catalog says
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    state: read
    name: windows11
    record_state: published
    inventory: true

- name: Fail when something in the store is not signed by one of us
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    state: read
    allowed_signers_path: /etc/image-signers
    require_signature: true

- name: Sign what was published before
  macops.parallels.image_catalog:
    destination: https://images.example.com/golden
    state: signed
    signing_key_path: ~/.ssh/image_signing
    signing_identity: build@example.com
"""

RETURN = r"""
records:
  description:
    - The records of the catalog, by name, version (2026.9.0 before 2026.11.0) and architecture. In check mode, as
      they would be.
    - Those that O(name), O(version), O(arch) and O(record_state) choose. Without these, all.
    - Empty when there is no catalog yet.
  type: list
  elements: dict
  returned: success
  contains: &record
    schema:
      description: Version of the record's format.
      type: int
      sample: 1
    name:
      description: Name of the image.
      type: str
      sample: windows11
    version:
      description: Version of the image.
      type: str
      sample: 2026.11.0
    arch:
      description: V(arm64) or V(x86_64).
      type: str
      sample: arm64
    title:
      description: The name that the portal shows to users.
      type: str
      sample: Contoso Windows 11 Pro
    description:
      description: The description that the portal shows to users.
      type: str
      sample: With Office and the VPN client
    file:
      description: File name of the image in the store.
      type: str
      sample: windows11-2026.11.0-arm64.pvmp
    url:
      description: The link from which the image is downloaded.
      type: str
      sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp
    sha256:
      description: SHA-256 checksum of the image.
      type: str
      sample: 63a90c3c1ffb4a9d1c2c6e6a2b8b0a1d6ad9a41e7f5b3c2d1e0f9a8b7c6d706b
    size:
      description: Size of the image in bytes.
      type: int
      sample: 21474836480
    published_at:
      description: When the image was published, in UTC.
      type: str
      sample: "2026-11-22T10:00:00Z"
    state:
      description: V(published) or V(withdrawn).
      type: str
      sample: published
    protected:
      description: Whether the image is to be kept, however many newer versions there are.
      type: bool
      sample: false
    source:
      description: What the image was made from. Values that are not known are empty.
      type: dict
      sample:
        vm: Windows 11
        os: win-11
        tools: ""
    parallels:
      description: Version of Parallels Desktop by which the image was packed; empty when it is not known.
      type: str
      sample: 26.1.0
    reason:
      description: Why it was withdrawn. Only in withdrawn records.
      type: str
      sample: The VPN client does not start. Use 2026.11.0.
    withdrawn_at:
      description: When it was withdrawn, in UTC. Only in withdrawn records.
      type: str
      sample: "2026-11-23T10:00:00Z"
    file_removed:
      description: V(true) when the file was removed from the store, or is being removed. Only in withdrawn records.
      type: bool
      sample: true
    provenance:
      description: Address of the statement of provenance. Only in records that name one.
      type: str
      sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp.provenance.json
    signed_by:
      description: Who has signed the record. Only in signed records.
      type: str
      sample: build@example.com
    signed_at:
      description: When it was signed, in UTC. Only in signed records.
      type: str
      sample: "2026-11-22T10:00:00Z"
    signature:
      description:
        - Its signature, as C(ssh-keygen) writes it. Only in signed records.
        - It is that of the record without this field, as JSON in UTF-8 with sorted keys and without white space.
      type: str
      sample: "-----BEGIN SSH SIGNATURE-----\nU1NI...\n-----END SSH SIGNATURE-----\n"
signatures:
  description:
    - What was found of the signatures. A verdict is V(good), V(missing), V(changed) (it belongs to other bytes),
      V(foreign) (by a key that is not allowed), V(expired) (the key was not valid when it was signed) or
      V(unreadable).
  type: dict
  returned: with O(state=read) and O(allowed_signers_path), also when it failed because of them
  contains:
    verified:
      description: Whether all of them are good.
      type: bool
      sample: true
    problems:
      description: What is neither good nor missing, a sentence each.
      type: list
      elements: str
      sample: []
    unsigned:
      description: What is not signed, a sentence each.
      type: list
      elements: str
      sample: []
    catalog:
      description: C(verdict) and C(reason) about the catalog, and by whom (C(signed_by)) and when (C(signed_at)).
      type: dict
      sample:
        verdict: good
        reason: Good "macops.parallels" signature for build@example.com with ED25519 key SHA256:47DEQpj8HBSa
        signed_by: build@example.com
        signed_at: "2026-11-22T10:00:00Z"
    records:
      description:
        - The same of each record that is returned, with C(name), C(version) and C(arch).
        - C(provenance) has C(verdict) and C(reason) about its statement of provenance, and is empty when there is none.
      type: list
      elements: dict
      sample: []
record:
  description: The record as it is in the catalog. In check mode, as it would be.
  type: dict
  returned: with O(state=present)
  contains: *record
removed:
  description: The records that were removed, as they were. In check mode, those that would be.
  type: list
  elements: dict
  returned: with O(state=absent)
  contains: *record
removed_files:
  description: Names of the files that were removed from the store. In check mode, of those that would be.
  type: list
  elements: str
  returned: with O(state=absent) and O(state=withdrawn)
  sample: [windows11-2026.8.0-arm64.pvmp, windows11-2026.8.0-arm64.pvmp.sha256]
inventory:
  description: What of the store is not as the catalog says.
  type: dict
  returned: with O(state=read) and O(inventory=true)
  contains:
    listed:
      description: V(false) where the store gives no list of its files. Then each image was looked for on its own.
      type: bool
      sample: true
    missing:
      description: Names of images that have a record but are not in the store.
      type: list
      elements: str
      sample: []
    wrong_size:
      description: Names of images that have another size than their record says.
      type: list
      elements: str
      sample: []
    strays:
      description:
        - Names of images, and of checksums, signatures and provenance of images, that no record knows. Such as an
          image that is being published just now, or one whose removal was broken off.
        - Null where the store gives no list.
      type: list
      elements: str
      sample: [windows11-2026.7.0-arm64.pvmp]
page:
  description: Address of the page.
  type: str
  returned: unless O(state=read) or O(page=false)
  sample: https://images.example.com/golden/index.html
page_changed:
  description: Whether the page was made again. In check mode, whether it would be.
  type: bool
  returned: unless O(state=read) or O(page=false)
  sample: true
catalog:
  description: Address of the catalog in the store.
  type: str
  returned: success
  sample: https://images.example.com/golden/catalog.json
"""

from datetime import datetime, timezone
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CATALOG, CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._catalog.inventory import take_inventory
from ansible_collections.macops.parallels.plugins.module_utils._catalog.page_file import AUTO, MODES, NEVER, PageFile
from ansible_collections.macops.parallels.plugins.module_utils._catalog.upkeep import Done, Upkeep
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._module import run_module
from ansible_collections.macops.parallels.plugins.module_utils._records.record import (
    ARCHITECTURES,
    SCHEMA,
    SOURCE_FIELDS,
    STATES,
    identity,
    label,
    sort_records,
)
from ansible_collections.macops.parallels.plugins.module_utils._records.retention import (
    Choice,
    Rule,
    by_name,
    by_rule,
    parse_age,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.options import (
    STORE_ARGUMENTS,
    STORE_RULES,
    hide_password_in_destination,
    store_options,
    store_retries,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._trust.options import (
    SIGNING_ARGUMENTS,
    SIGNING_RULES,
    VERIFYING_ARGUMENTS,
    VERIFYING_RULES,
    keygen_of,
    signer_of,
    verifier_of,
)
from ansible_collections.macops.parallels.plugins.module_utils._trust.seal import Inspection, Seal

_MOST_PROBLEMS = 5
_OF_ONE_VERSION = ("withdrawn", "published", "protected", "unprotected")
_STATES = ("present", *_OF_ONE_VERSION, "absent", "read", "page", "signed")
_STATES_THAT_LOOK = ("read", "page")


class Task:
    """What one run of the module does."""

    def __init__(self, module: AnsibleModule) -> None:
        hide_password_in_destination(module)
        self._module = module
        self._params = params = module.params
        self._retries = store_retries(params)
        self._store = open_store(params["destination"], store_options(params))
        self._seal = self._seal_of_key()
        self._catalog = CatalogFile(self._store, self._retries, seal=self._seal)
        self._choice = Choice(params["name"], params["version"], params["arch"])
        # As they are, and in check mode as they would be: all of them, whichever are returned.
        self._records: list[dict[str, Any]] = []
        self._result: dict[str, Any] = {"changed": False, "catalog": self._store.link(CATALOG)}

    def run(self) -> dict[str, Any]:
        """Do it, and return the result."""
        state = self._params["state"]
        if state == "read":
            self._read()
        else:
            page = PageFile(self._store, self._catalog, self._retries, self._params["page"], self._module.warn)
            page.check()
            self._change(state)
            if self._params["page"] != NEVER:
                self._make(page)
        of_state = Choice(state=self._params["record_state"] if state == "read" else None)
        self._result["records"] = of_state.of(self._choice.of(self._records))
        return self._result

    def _seal_of_key(self) -> Optional[Seal]:
        signer, verifier = signer_of(self._module), verifier_of(self._module)
        looks = self._params["state"] in _STATES_THAT_LOOK and not self._params["writable"]
        requires = self._params["require_signature"] and not looks
        if signer is None:
            if requires:
                raise TaskError(
                    "With require_signature, the catalog is changed only by who signs it: give signing_key_path and "
                    "signing_identity."
                )
            return None
        proves = verifier if requires and self._params["state"] != "signed" else None
        return Seal(self._store, self._retries, keygen_of(self._module), signer, proves)

    def _read(self) -> None:
        if self._params["writable"]:
            write = not self._module.check_mode
            self._retries.call(lambda: self._store.check(CATALOG, Content(0), write=write, notice=self._module.warn))
            if self._seal is not None:
                self._seal.prove()
        self._records = self._catalog.read().records
        if self._params["writable"] and self._seal is not None:
            self._seal.check(self._records)
        self._inspect()
        if self._params["inventory"]:
            self._result["inventory"] = take_inventory(self._store, self._records, self._retries).result()

    def _inspect(self) -> None:
        verifier = verifier_of(self._module)
        if verifier is None:
            return
        chosen = Choice(state=self._params["record_state"])
        report = Inspection(self._store, self._retries, verifier).report(
            lambda records: chosen.of(self._choice.of(sort_records(records)))
        )
        self._result["signatures"] = report.result()
        found = [*report.problems, *report.unsigned]
        if self._params["require_signature"] and found and not self._params["writable"]:
            raise TaskError(
                f"{len(found)} of the signatures in {self._store.url} are not as they should be. "
                f"{' '.join(found[:_MOST_PROBLEMS])} Find out who has written there before anybody "
                "installs these images.",
                signatures=report.result(),
            )

    def _change(self, state: str) -> None:
        upkeep = Upkeep(self._catalog, self._store, self._retries, self._module.check_mode)
        if state == "present":
            self._add()
        elif state == "page":
            self._records = self._catalog.read().records
        elif state == "signed":
            seal = self._seal
            if seal is None:
                raise AssertionError("the arguments see to it")
            anew = self._params["sign_anew"]
            change = self._catalog.change(
                lambda records: seal.sign_all(records, self._choice.means, anew),
                "the signatures",
                self._module.check_mode,
            )
            self._tell(Done(change))
        elif state == "absent":
            self._remove(upkeep)
        elif state == "withdrawn":
            done = upkeep.withdraw(self._choice, self._params["reason"], self._params["remove_file"])
            self._result["removed_files"] = done.removed_files
            self._tell(done)
        elif state == "published":
            self._tell(upkeep.offer(self._choice))
        else:
            self._tell(upkeep.protect(self._choice, state == "protected"))

    def _add(self) -> None:
        outcome = self._catalog.add(self._params["record"], check_mode=self._module.check_mode)
        self._records = outcome.records
        self._result.update(changed=outcome.changed, record=outcome.after)
        if outcome.changed:
            self._show(outcome.before or {}, outcome.after)

    def _remove(self, upkeep: Upkeep) -> None:
        if self._params["version"] is not None:
            choose, what = by_name(self._choice), f"the removal of {self._choice}"
        else:
            rule, now = self._rule(), datetime.now(timezone.utc)
            choose, what = by_rule(rule, self._choice, now), "the removal of old versions"
        done = upkeep.remove(choose, what)
        self._result.update(removed=done.removed, removed_files=done.removed_files)
        self._tell(done)

    def _rule(self) -> Rule:
        keep, older_than = self._params["keep"], self._params["older_than"]
        if keep is None and not older_than:
            raise TaskError("state: absent needs to know what goes: give keep, older_than, or name and version.")
        if keep is not None and keep < 1:
            raise TaskError("keep must be at least 1: the newest version that is offered always stays.")
        return Rule(keep or 1, parse_age(older_than) if older_than else None)

    def _make(self, page: PageFile) -> None:
        renewed = page.renew(self._records if self._module.check_mode else None)
        self._result.update(page=page.url, page_changed=renewed, changed=self._result["changed"] or renewed)

    def _tell(self, done: Done) -> None:
        self._records = done.change.after
        self._result["changed"] = done.changed
        before = {identity(record): record for record in done.change.before}
        after = {identity(record): record for record in done.change.after}
        differing = sorted(key for key in before if before[key] != after.get(key))
        if differing:
            self._show(
                {label(before[key]): before[key] for key in differing},
                {label(after[key]): after[key] for key in differing if key in after},
            )

    def _show(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        header = self._result["catalog"]
        self._result["diff"] = {"before": before, "after": after, "before_header": header, "after_header": header}


def main() -> None:
    """Run the module."""
    text = {"type": "str"}
    needed = {"type": "str", "required": True}
    arch = {"type": "str", "choices": list(ARCHITECTURES)}
    rules = {
        **STORE_RULES,
        "required_by": {**STORE_RULES.get("required_by", {}), **SIGNING_RULES, "version": ["name"]},
        "required_if": [
            *STORE_RULES.get("required_if", []),
            *VERIFYING_RULES,
            ("state", "signed", ["signing_key_path"]),
            ("state", "present", ["record"]),
            ("state", "withdrawn", ["reason"]),
            *(("state", state, ["name", "version"]) for state in _OF_ONE_VERSION),
        ],
        "mutually_exclusive": [
            *STORE_RULES.get("mutually_exclusive", []),
            ["version", "keep"],
            ["version", "older_than"],
        ],
    }
    module = AnsibleModule(
        argument_spec={
            **STORE_ARGUMENTS,
            **SIGNING_ARGUMENTS,
            **VERIFYING_ARGUMENTS,
            "state": {"type": "str", "choices": list(_STATES), "default": "present"},
            "name": text,
            "version": text,
            "arch": arch,
            "record_state": {"type": "str", "choices": list(STATES)},
            "reason": text,
            "remove_file": {"type": "bool", "default": False},
            "keep": {"type": "int"},
            "older_than": text,
            "page": {"type": "str", "choices": list(MODES), "default": AUTO},
            "inventory": {"type": "bool", "default": False},
            "sign_anew": {"type": "bool", "default": True},
            "writable": {"type": "bool", "default": False},
            "record": {
                "type": "dict",
                "options": {
                    "name": needed,
                    "version": needed,
                    "arch": {**arch, "required": True},
                    "title": text,
                    "description": text,
                    "file": text,
                    "url": needed,
                    "sha256": needed,
                    "size": {"type": "int", "required": True},
                    "protected": {"type": "bool", "default": False},
                    "source": {"type": "dict", "options": dict.fromkeys(SOURCE_FIELDS, text)},
                    "parallels": text,
                    "published_at": text,
                    "schema": {"type": "int", "choices": [SCHEMA], "default": SCHEMA},
                    "state": {"type": "str", "choices": ["published"], "default": "published"},
                    "provenance": text,
                    "signed_by": text,
                    "signed_at": text,
                    "signature": text,
                },
            },
        },
        supports_check_mode=True,
        **rules,
    )
    run_module(module, lambda module: Task(module).run())


if __name__ == "__main__":
    main()
