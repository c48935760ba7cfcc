# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machines of Macs with Parallels Desktop, as hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: guests
short_description: The virtual machines of Macs with Parallels Desktop, as hosts
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Asks the Macs for their virtual machines, all at the same time, and makes a host of each. Its variables say how to
    run tasks in the guest with the connection P(macops.parallels.prlctl#connection). No guest needs a network for that.
  - The Macs are hosts of an inventory source that is read before this one, such as C(inventory/10-macs.yml) before
    C(inventory/20-guests.yml). They are asked as tasks would be, with their connection variables.
  - A Mac that does not answer is a warning. Its virtual machines are missing then.
  - The variables of a guest refer to those of its Mac. The password of a Mac is not repeated.
  - A configuration file has a name that ends with C(guests.yml), C(guests.yaml), C(parallels.yml) or
    C(parallels.yaml).
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [macops.parallels.guests]
  hosts:
    description:
      - Pattern of the Macs, among the hosts of the inventory sources that were read before this one.
      - By default V(build_macs), or no host if O(macs) is set.
    type: str
  macs:
    description:
      - Macs that are in no other inventory source, by their names, with their connection variables such as
        C(ansible_host). They become hosts of the group C(build_macs).
    type: dict
    default: {}
  use_vars_plugins:
    description:
      - Whether to read the variables of the Macs from vars plugins as well, which is where C(group_vars) and
        C(host_vars) come from.
    type: bool
    default: true
  executable:
    description:
      - Path of C(prlctl) on the Macs. By default the variable C(image_executable) of the Mac, else it is searched for
        on PATH, in C(/usr/local/bin), and in the application.
    type: str
  timeout:
    description: Seconds that Parallels on a Mac has for each answer.
    type: int
    default: 60
  filters:
    description:
      - Jinja2 conditions on the variables of a virtual machine. One for which all of them are true becomes a host.
        By default all of them do. Templates never do.
    type: list
    elements: str
    default: []
  group_prefix:
    description: Start of the names of the groups by state, system, architecture and Mac.
    type: str
    default: vm_
notes:
  - Each host is in the group C(parallels_guests), and with the default O(group_prefix) in groups such as C(vm_running),
    C(vm_windows), C(vm_arm64) and C(vm_on_mac_arm64).
  - Each host has the variables C(parallels_name), C(parallels_uuid), C(parallels_mac), C(parallels_state),
    C(parallels_os), C(parallels_family), C(parallels_arch), C(parallels_packed), C(parallels_isolated),
    C(parallels_tools), C(parallels_ip_address) and C(parallels_home). They have the values that
    M(macops.parallels.vm_info) returns.
  - Only a running guest with Parallels Tools takes commands, so set O(filters) or run plays on C(vm_running).
"""

EXAMPLES = r"""
# inventory/20-guests.yml: all VMs of the hosts in build_macs
plugin: macops.parallels.guests

---
# Only running Linux guests, grouped by what their names start with
plugin: macops.parallels.guests
hosts: build_macs
filters:
  - parallels_state == 'running'
  - parallels_family == 'linux'
keyed_groups:
  - key: parallels_name.split('-')[0]
    prefix: image
compose:
  ansible_python_interpreter: "'/usr/bin/python3'"
groups:
  build_vms: parallels_name is match('.*-[0-9]{4}[.][0-9]+[.][0-9]+-')

---
# A Mac that is in no other inventory source
plugin: macops.parallels.guests
macs:
  mac-arm64:
    ansible_host: mac-arm64.example.com
    ansible_user: builder
    ansible_python_interpreter: /usr/bin/python3
"""

import concurrent.futures
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.helpers import get_group_vars
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var
from ansible.utils.vars import combine_vars, load_extra_vars
from ansible.vars.plugins import get_vars_from_inventory_sources
from ansible_collections.macops.parallels.plugins.module_utils._common.text import printable_message
from ansible_collections.macops.parallels.plugins.plugin_utils._guest_host import (
    become_user,
    guest_variables,
    host_name,
    python_of,
    variables_of_the_mac,
)
from ansible_collections.macops.parallels.plugins.plugin_utils._mac_question import Mac, NoAnswer
from ansible_collections.macops.parallels.plugins.plugin_utils._patterns import hosts_in

try:  # since ansible-core 2.19, only what is marked so is a template
    from ansible.template import trust_as_template
except ImportError:

    def trust_as_template(value: str) -> str:
        """Return the template as it is."""
        return value


TOP = "parallels_guests"
_NAMES = ("guests.yml", "guests.yaml", "parallels.yml", "parallels.yaml")
_MOST_AT_ONCE = 32  # Macs
_LISTING = "_parallels.guest_list"


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """The inventory plugin in this file."""

    NAME = "macops.parallels.guests"

    def verify_file(self, path: str) -> bool:
        """Return whether the file may be a configuration of this plugin."""
        return bool(super().verify_file(path)) and path.endswith(_NAMES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add the virtual machines to the inventory."""
        super().parse(inventory, loader, path, cache=cache)
        self._read_config_data(path)
        self.load_cache_plugin()
        self._add_listed()
        key = self.get_cache_key(path)
        known = self._cache.get(key) or {} if self.get_option("cache") and cache else {}
        macs = {name: self._variables_of(name) for name in self._names_of_macs()}
        answers = {name: known[name] for name in macs if name in known}
        answers.update(self._ask({name: given for name, given in macs.items() if name not in answers}))
        if self.get_option("cache"):
            # Only answers are kept, so a Mac that gave none is asked again.
            self._cache[key] = answers
        self.inventory.add_group(TOP)
        for mac, variables in macs.items():
            for vm in answers.get(mac, ()):
                self._add(vm, mac, self._values(variables))

    def _add_listed(self) -> None:
        for name, variables in self.get_option("macs").items():
            self.inventory.add_group("build_macs")
            self.inventory.add_host(name, group="build_macs")
            for key, value in (variables or {}).items():
                self.inventory.set_variable(name, key, value)

    def _names_of_macs(self) -> list[str]:
        listed = list(self.get_option("macs"))
        pattern = self.get_option("hosts") or ("" if listed else "build_macs")
        names = hosts_in(self.loader, self.inventory.get_groups_dict(), pattern) if pattern else []
        if pattern and not names:
            self._warn(
                f"No host matches '{pattern}', so there is no Mac to ask for virtual machines. The inventory source "
                "with the Macs has to be read before this one: sources of one folder are read in the order of their "
                "names."
            )
        return list(dict.fromkeys([*listed, *names]))

    def _variables_of(self, name: str) -> dict[str, Any]:
        """Return the variables of a Mac, templates among them."""
        host = self.inventory.hosts[name]
        found = get_group_vars(host.get_groups())
        sources = getattr(self.inventory, "processed_sources", [])
        if self.get_option("use_vars_plugins"):
            by_group = get_vars_from_inventory_sources(self.loader, sources, host.get_groups(), "all")
            found = combine_vars(found, by_group)
        found = combine_vars(found, host.get_vars())
        if self.get_option("use_vars_plugins"):
            found = combine_vars(found, get_vars_from_inventory_sources(self.loader, sources, [host], "all"))
        if self.get_option("use_extra_vars"):
            found = combine_vars(found, load_extra_vars(self.loader))
        return found

    def _ask(self, macs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Return the virtual machines of the Macs that answer."""
        asked: dict[Any, str] = {}
        found: dict[str, list[dict[str, Any]]] = {}
        with concurrent.futures.ThreadPoolExecutor(max(1, min(len(macs), _MOST_AT_ONCE))) as pool:
            for name, variables in macs.items():
                try:
                    values = self._values(variables)
                    asked[pool.submit(self._ask_one, Mac(name, values), values)] = name
                except AnsibleError as error:
                    self._warn_of(name, error)
            for future in concurrent.futures.as_completed(asked):
                name = asked[future]
                try:
                    found[name] = future.result()
                except (AnsibleError, NoAnswer) as error:
                    self._warn_of(name, error)
        return found

    def _values(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the variables that matter here."""
        self.templar.available_variables = variables
        return {name: self.templar.template(variables[name]) for name in variables_of_the_mac() if name in variables}

    def _ask_one(self, mac: Mac, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        order = {
            "executable": self.get_option("executable") or values.get("image_executable") or "",
            "limit": self.get_option("timeout"),
        }
        try:
            answer = mac.ask(_LISTING, order, python=python_of(values) or "python3", run_as=become_user(values))
        finally:
            mac.close()
        if "vms" not in answer:
            raise NoAnswer(str(answer.get("msg", "")))
        return list(answer["vms"])

    def _warn_of(self, mac: str, error: Exception) -> None:
        self._warn(f"{mac} did not list its virtual machines, so they are missing in the inventory. {error}")

    def _warn(self, sentence: str) -> None:
        self.display.warning(printable_message(sentence))

    def _add(self, vm: Mapping[str, Any], mac: str, values: Mapping[str, Any]) -> None:
        # Text from the Mac is not a template, whatever the name of a virtual machine is.
        facts = {f"parallels_{name}": wrap_var(value) for name, value in vm.items() if name != "unreadable"}
        facts["parallels_mac"] = mac
        if not all(self._is_true(condition, facts) for condition in self.get_option("filters")):
            return
        if vm["unreadable"]:
            self._warn(f"'{vm['name']}' on {mac}: {' '.join(vm['unreadable'])}")
        name = host_name(vm["name"], mac)
        if name in self.inventory.hosts and name in self.inventory.get_groups_dict().get(TOP, ()):
            name = f"{name}-{vm['uuid'][:8]}"  # two VMs of one Mac may have one name
        self.inventory.add_host(name, group=TOP)
        way = guest_variables(vm, mac, values, lambda key: _reference(mac, key))
        variables = {**{key: trust_as_template(value) for key, value in way.items()}, **facts}
        if self.get_option("executable"):
            variables["ansible_prlctl_executable"] = self.get_option("executable")
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)
        for part in (vm["state"], vm["family"], vm["arch"], f"on_{mac}"):
            group = self._sanitize_group_name(f"{self.get_option('group_prefix')}{part}")
            self.inventory.add_group(group)
            self.inventory.add_child(TOP, group)
            self.inventory.add_host(name, group=group)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)

    def _is_true(self, condition: str, facts: Mapping[str, Any]) -> bool:
        try:
            return boolean(self._compose(condition, facts))
        except Exception as error:
            raise AnsibleParserError(f"The filter {condition!r} is not a condition on a virtual machine.") from error


def _reference(mac: str, variable: str) -> str:
    return f"{{{{ hostvars[{mac!r}][{variable!r}] }}}}"
