# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are nowhere at the greatest verbosity: not printed, not logged, not left in a file, not on a command line."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from support.build import SOURCE_VM, Build
from support.fixtures import Play
from support.forward_proxy import ForwardProxy
from support.https_store import Fault, HttpsStore
from support.playbook import start_playbook
from support.secret_search import Secrets, Watch
from support.ssh_keys import IDENTITY, allow, make_key

EVERYTHING = "-vvvv"
# Characters that JSON, addresses, shells and HTML write in another way.
ODD = "\"\\&%/+='<9 "
SECRETS = {
    "password": f"Kolibri-{ODD}-of-the-store",
    "token": "Nachtigall-9e7f4+/token==",
    "proxy password": "Rotkehlchen-4c1d8~of.the_proxy",
    "secret key": f"Zaunkoenig-{ODD}-of-S3",
    "session token": f"Eisvogel-{ODD}-of-S3",
    "account key": "V2llZGVob3BmLWlzdC1laW4ta2V5LW9mLUF6dXJl",
    "SAS token": "sv=2024-11-04&se=2099-01-01T00%3A00%3A00Z&sp=rwl&sig=Neuntoeter%2Fof%2BAzure%3D",
    # Of this process alone: ssh-keygen is given it on its command line, where a test in another process would see it.
    "passphrase": f"Bachstelze-{ODD}-of-the-key-of-{os.getpid()}",
    "client secret": f"Gartenrotschwanz-{ODD}-of-Graph",
}
# What of them is secret by itself.
NEEDLES = {**SECRETS, "SAS signature": "Neuntoeter%2Fof%2BAzure%3D", "SAS signature, decoded": "Neuntoeter/of+Azure="}

# Store options that go together: none of a kind but the last is used for https://, yet all reach the module.
OF_OTHER_STORES = {
    "image_store_access_key": "AKTEST",
    "image_store_secret_key": SECRETS["secret key"],
    "image_store_session_token": SECRETS["session token"],
    "image_store_private_key_path": "/nowhere/key",
    "image_store_private_key_passphrase": SECRETS["passphrase"],
    "image_store_tenant_id": "contoso",
    "image_store_client_id": "client",
    "image_store_client_secret": SECRETS["client secret"],
}


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[HttpsStore]:
    with HttpsStore(tmp_path / "store", password=SECRETS["password"]) as server:
        server.token = SECRETS["token"]
        yield server


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with ForwardProxy("jane", SECRETS["proxy password"]) as server:
        yield server


@pytest.fixture
def secrets() -> Secrets:
    return Secrets(NEEDLES)


@pytest.fixture
def controller() -> Iterator[pathlib.Path]:
    """Make a folder with a short name: Ansible makes a socket in its temporary files."""
    with tempfile.TemporaryDirectory(prefix="run-", dir="/tmp") as folder:
        yield pathlib.Path(folder)


def controller_environment(folder: pathlib.Path) -> dict[str, str]:
    """Return an environment in which all that Ansible writes on the controller is in this folder."""
    (folder / "temporary").mkdir(parents=True, exist_ok=True)
    return {
        "ANSIBLE_HOME": str(folder / "ansible"),
        # As older releases always do: what the modules were given is shown with what they return.
        "ANSIBLE_INJECT_INVOCATION": "true",
        "ANSIBLE_LOG_PATH": str(folder / "ansible.log"),
        "ANSIBLE_LOG_VERBOSITY": "4",
        "TMPDIR": str(folder / "temporary"),
    }


def run_as_awx_does(play: Play, build: Build, folder: pathlib.Path, variables: dict[str, Any]) -> pathlib.Path:
    """Run the playbook with ansible-runner; return the folder of its artifacts."""
    private = folder / "private"
    (private / "env").mkdir(parents=True)
    (private / "inventory").mkdir()
    (private / "inventory" / "hosts.json").write_text(json.dumps({"build_macs": {"hosts": build.hosts}}))
    (private / "env" / "extravars").write_text(json.dumps(build.variables(**variables)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTEST_"))}
    environment = {
        **kept,
        **controller_environment(folder),
        "ANSIBLE_COLLECTIONS_PATH": str(play.collections),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = ["ansible-runner", "run", str(private), "-p", "macops.parallels.build_image", "--ident", "job"]
    done = subprocess.run(
        [str(pathlib.Path(sys.executable).with_name(command[0])), *command[1:], f"--cmdline={EVERYTHING} --diff"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    (folder / "output").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, f"{done.stdout[-6000:]}{done.stderr[-2000:]}"
    return private / "artifacts"


def test_nothing_of_a_whole_build_tells_a_secret(
    play: Play,
    make_build: Any,
    ssh_mac: Any,
    store: HttpsStore,
    proxy: ForwardProxy,
    secrets: Secrets,
    tmp_path: pathlib.Path,
    controller: pathlib.Path,
) -> None:
    """A build as AWX runs it; the same in check mode with a token; then one that fails while it sends."""
    account = ssh_mac.mac.account
    ssh_mac.mac.vm(SOURCE_VM, state="stopped", data="1M", disk="8G")
    build = make_build({"mac": ssh_mac}, store=store)
    key = make_key(tmp_path, "signing key")
    secret_of_key = key.read_text().splitlines()[2]
    at_the_mac = ssh_mac.mac.folder / "signing key"
    for path in (key, key.with_name(key.name + ".pub")):
        shutil.copy(path, at_the_mac.with_suffix(path.suffix))
        shutil.chown(at_the_mac.with_suffix(path.suffix), account.uid or os.geteuid())
    signers = allow(ssh_mac.mac.folder / "signers", (IDENTITY, key))
    signers.chmod(0o644)
    trust = {
        "image_signing_key_path": str(at_the_mac),
        "image_signing_identity": IDENTITY,
        "image_allowed_signers_path": str(signers),
    }
    given = {**OF_OTHER_STORES, **trust, "image_store_proxy": proxy.url}
    secrets.add("the signing key", secret_of_key)

    with Watch(secrets, account.home / ".ansible") as watch:
        artifacts = run_as_awx_does(play, build, controller / "awx", {**given, "image_store_account_key": "unused"})
        with_token = {**given, "image_store_username": None, "image_store_password": None}
        with_token["image_store_token"] = SECRETS["token"]
        outputs = [
            run_loudly(play, build, controller / "checked", {**with_token, "image_version": "2.0"}, "--check"),
        ]
        # A server that repeats what it was told, in an answer that ends the run.
        repeats = f"Authorization: Bearer {SECRETS['token']}".encode()
        store.faults.append(
            Fault("PUT", status=403, times=99, body=repeats, where=lambda request: ".pvmp" in request.path)
        )
        failing = {**with_token, "image_version": "3.0", "image_store_retries": 0}
        outputs.append(run_loudly(play, build, controller / "failed", failing, expected=2))

    assert proxy.connected, "the proxy was not used"
    for output in outputs:
        secrets.look_in(output, "the output", "output")
    for name in ("awx", "checked", "failed"):
        # What was given to the run is there as it was given.
        inputs = [controller / "awx" / "private" / part for part in ("env", "inventory")]
        secrets.look_in_files(controller / name, "on the controller", but=inputs)
    secrets.look_in_files(artifacts, "artifacts of ansible-runner")
    secrets.look_in((controller / "awx" / "ansible.log").read_bytes(), "the log", "log")
    secrets.look_in_files(account.home, "home of the Mac's user")
    secrets.look_in_files(ssh_mac.mac.folder, "on the Mac", but=[at_the_mac])
    look_in_temporary_files(secrets, account.uid)
    secrets.look_in_files(store.folder, "in the store")
    secrets.look_in_files(build.output, "handed over")
    assert watch.processes > 20, "there were no processes to look at"
    assert {"catalog.json.sig", "index.html"} <= {path.name for path in store.folder.iterdir()}
    secrets.assert_nowhere(
        *("output", "artifacts of ansible-runner", "log", "on the controller", "in the store", "handed over"),
        *("on the Mac", "command lines", "files while it runs"),
    )


def run_loudly(
    play: Play, build: Build, folder: pathlib.Path, variables: dict[str, Any], *arguments: str, expected: int = 0
) -> str:
    """Run the playbook; return what it has printed."""
    running = start_playbook(
        "macops.parallels.build_image",
        build.hosts,
        build.variables(**variables),
        collections=play.collections,
        arguments=[EVERYTHING, "--diff", *arguments],
        environment=controller_environment(folder),
    )
    with running as run:
        done = run.finish()
    assert done.rc == expected, done.output[-6000:]
    return done.output + json.dumps([task.result for task in done.tasks], default=str)


def look_in_temporary_files(secrets: Secrets, uid: int | None) -> None:
    """Look through the temporary files of the Mac's user, where that is one of its own."""
    for folder in (pathlib.Path("/tmp"), pathlib.Path("/var/tmp")):
        for path in folder.iterdir() if uid is not None else ():
            with contextlib.suppress(FileNotFoundError):  # those of other programs come and go
                if path.lstat().st_uid == uid and path.is_dir():
                    secrets.look_in_files(path, "temporary files")
                elif path.lstat().st_uid == uid and path.is_file():
                    secrets.look_in_file(str(path), "temporary files")


# Stores that nobody answers at, and the secrets for each.
DESTINATIONS = {
    "https://127.0.0.1:9/images": {"username": "publisher", "password": SECRETS["password"]},
    "https://localhost:9/images": {"token": SECRETS["token"]},
    "s3://bucket/images": {
        "access_key": "AKTEST",
        "secret_key": SECRETS["secret key"],
        "session_token": SECRETS["session token"],
        "endpoint_url": "https://127.0.0.1:9",
        "region": "eu-central-1",
    },
    "azblob://account/container": {"account_key": SECRETS["account key"], "endpoint_url": "https://127.0.0.1:9"},
    "azblob://account/images": {"sas_token": SECRETS["SAS token"], "endpoint_url": "https://127.0.0.1:9"},
    "sftp://127.0.0.1:9/images": {"username": "publisher", "password": SECRETS["password"]},
    "sftp://localhost:9/images": {
        "username": "publisher",
        "private_key_path": "KEY",
        "private_key_passphrase": SECRETS["passphrase"],
    },
    "sharepoint://contoso/site/Documents/images": {
        "tenant_id": "00000000-0000-0000-0000-000000000000",
        "client_id": "client",
        "client_secret": SECRETS["client secret"],
        "endpoint_url": "https://127.0.0.1:9",
    },
    "nowhere://images": {"username": "publisher", "password": SECRETS["password"]},
}
# The loops go by number: what a task loops over is shown with its results.
PLAYBOOK = """\
---
- name: Ask every kind of store
  hosts: build_macs
  gather_facts: false
  module_defaults:
    group/macops.parallels.stores:
      retries: 0
      timeout: 2
  tasks:
    - name: Read
      macops.parallels.image_catalog_info: "{{ stores[item] }}"
      loop: "{{ range(stores | length) | list }}"
      ignore_errors: true
      register: read
    - name: Upload
      macops.parallels.image_upload: "{{ {'src': image} | combine(stores[item]) }}"
      loop: "{{ range(stores | length) | list }}"
      ignore_errors: true
    - name: Ask through a proxy that is not there
      macops.parallels.image_catalog_info:
        destination: https://127.0.0.1:9/images
        proxy: "http://jane:{{ proxy_password }}@127.0.0.1:9"
      ignore_errors: true
    - name: Prove a link with a password in it
      macops.parallels.image_link_info:
        url: "https://jane:{{ proxy_password }}@127.0.0.1:9/images/x.pvmp"
        proof: headers
        retries: 0
        timeout: 2
      ignore_errors: true
    - name: Hold that all of them were asked
      ansible.builtin.assert:
        that: read.results | select('failed') | length == stores | length
"""


def test_no_kind_of_store_tells_a_secret_when_it_fails(
    play: Play, secrets: Secrets, tmp_path: Any, controller: Any
) -> None:
    """Each store with all its credentials, at an address where nobody answers: sentences, exceptions, diffs."""
    key = make_key(tmp_path, "key", passphrase=SECRETS["passphrase"])
    image = tmp_path / "image.pvmp"
    image.write_bytes(b"image")
    (tmp_path / "ask.yml").write_text(PLAYBOOK)
    stores = [
        {"destination": destination, **{name: str(key) if value == "KEY" else value for name, value in given.items()}}
        for destination, given in DESTINATIONS.items()
    ]
    home = tmp_path / "home"
    home.mkdir()
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable,
    }
    environment = {**controller_environment(controller), "HOME": str(home)}
    variables = {"stores": stores, "image": str(image), "proxy_password": SECRETS["proxy password"]}
    with (
        Watch(secrets, home),
        start_playbook(
            tmp_path / "ask.yml",
            {"mac": host},
            variables,
            collections=play.collections,
            arguments=[EVERYTHING, "--diff"],
            environment=environment,
        ) as running,
    ):
        done = running.finish()

    assert done.rc == 0, done.output[-6000:]
    assert "Traceback" not in done.output
    assert done.output.count('"invocation"') > 2 * len(stores)
    secrets.look_in(done.output, "the output", "output")
    secrets.look_in_files(controller, "on the controller")
    secrets.look_in_files(home, "home of the Mac's user")
    secrets.assert_nowhere("output", "on the controller", "command lines")
