# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of guests, servers, stores and other users reaches no terminal as it is, and secrets leave when a task ends."""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.modules import Modules
from support.scripted_server import Connection, ScriptedServer
from support.secret_search import Secrets, Watch

# Commands of a terminal in seven and eight bits, a title, a turn of the direction, what nobody sees, a forged line.
BAD = "A\x1b[31m\x1b]0;t\x07\x9b2J\x85\x7f\u202e\u2066\u200f\u061c\u200b\ufeff\u2028\x08\x08\rZ"
IN_BYTES = BAD.replace("\r", "").encode()
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@pytest.fixture(scope="module")
def modules(collections: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modules]:
    home = tmp_path_factory.mktemp("home")
    python = os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable
    with Modules(python, collections, {"HOME": str(home)}) as running:
        yield running


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a result."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(key)
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def shown(code: int, output: str) -> list[str]:
    """Return what Ansible prints of a result without -v: all of a failed one, and the warnings of any."""
    result = json.loads(output[output.index("{") :])
    assert bool(code) == bool(result.get("failed"))
    return list(texts(result if code else [result.get("warnings", []), result.get("msg", "")]))


def assert_escaped(code: int, output: str, *words: str) -> str:
    """Hold that none of what is shown is raw, and that these words are in it; return it."""
    lines = shown(code, output)
    for line in lines:
        found = RAW.search(line)
        assert found is None, f"{found.group()!r} in {line!r}"
        assert len(line) < 70_000
    together = "\n".join(lines)
    for word in words:
        assert word in together, together
    return together


# What a program of Parallels says, on a Mac that has no such program.
PRLCTL = """#!{python}
import json, sys
NAME = json.loads({name!r})
INFO = {{"ID": "{uuid}", "Name": NAME, "State": "stopped", "OS": "ubuntu", "Home": "/nowhere/" + NAME + ".pvm/",
        "Description": NAME, "Hardware": {{}}}}
call = sys.argv[1:]
if call[:3] == ["list", "-a", "-j"]:
    print(json.dumps([{{"uuid": "{uuid}", "status": "stopped", "ip_configured": "-", "name": NAME}}]))
elif call[0] == "list" and "-i" in call:
    print(json.dumps([INFO]))
elif call[0] in ("list", "snapshot-list"):
    print("[]" if call[0] == "list" else "")
else:
    sys.stdout.buffer.write({said!r})
    sys.stderr.buffer.write({said!r})
    sys.exit(255)
"""
UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"


@pytest.fixture
def prlctl(tmp_path: pathlib.Path) -> Callable[[str], str]:
    """Return a function that makes a prlctl with one VM, which has this name."""

    def make(name: str) -> str:
        for program in ("prlctl", "prlsrvctl", "prl_disk_tool"):
            path = tmp_path / program
            text = PRLCTL.format(python=sys.executable, name=json.dumps(name), uuid=UUID, said=IN_BYTES)
            path.write_text(text, "utf-8")
            path.chmod(0o755)
        return str(tmp_path / "prlctl")

    return make


NAMES = {"controls": BAD, "half a character": "half \ud83d", "very long": "x" * 100_000, "of 250 bytes": "x" * 250}
OF_PARALLELS: dict[str, dict[str, Any]] = {
    "vm_info": {},
    "vm_exec": {"argv": ["true"]},
    "vm_snapshot": {"all": True, "state": "absent"},
    "vm_compact": {},
    "vm": {"state": "absent"},
    "image_pack": {"path": "/nowhere/image.pvmp"},
}


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        *(("controls", module) for module in OF_PARALLELS),
        *((kind, "vm_info") for kind in NAMES),
        ("very long", "vm_exec"),
    ],
)
def test_the_name_of_a_vm(modules: Modules, prlctl: Callable[[str], str], kind: str, module: str) -> None:
    name = NAMES[kind]
    of = {} if module == "vm_info" else {"name": UUID}
    code, output = modules.run(module, executable=prlctl(name), **of, **OF_PARALLELS[module])
    said = assert_escaped(code, output)
    assert "Traceback" not in said
    if module == "vm_info":
        assert not code, output[:3000]
        (vm,) = json.loads(output)["vms"]
        # Data keep what they are, except for what Ansible does not take.
        assert vm["name"] == name.replace("\ud83d", r"\ud83d")


def answer(status: str | bytes = "200 OK", body: bytes = b"", **headers: bytes) -> bytes:
    head = [b"HTTP/1.1 " + (status if isinstance(status, bytes) else status.encode())]
    head += [name.replace("_", "-").encode() + b": " + value for name, value in headers.items()]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"Connection: close", b"", body])


PAGE = b"<html><title>" + IN_BYTES + b"</title><body>" + IN_BYTES + b"</body></html>"
S3_ERROR = b"<Error><Code>Odd&#x9b;Code</Code><Message>" + "\x9b2J\u202eno".encode() + b"</Message></Error>"
GRAPH_ERROR = json.dumps({"error": {"code": BAD, "message": BAD, "error_description": BAD}}).encode()
LINK = ("image_link_info", {"url": "URL/a.pvmp", "require": True})
HTTPS = ("image_catalog_info", {"destination": "URL/images"})
S3 = {"destination": "s3://bucket/images", "endpoint_url": "URL", "access_key": "a", "secret_key": "b", "region": "x"}
AZURE = {"destination": "azblob://account/container", "account_key": "YWFhYWFhYWE=", "endpoint_url": "URL"}
GRAPH = {
    "destination": "sharepoint://contoso/site/Documents/images",
    "endpoint_url": "URL",
    "tenant_id": "00000000-0000-0000-0000-000000000000",
    "client_id": "client",
    "client_secret": "very secret",
}
SERVERS: dict[str, tuple[bytes, tuple[str, dict[str, Any]]]] = {
    "reason phrase at a link": (answer(b"404 " + IN_BYTES), LINK),
    "title of a page": (answer(body=PAGE, Content_Type=b"text/html"), LINK),
    "title of a login page": (answer(body=PAGE + b"<input type=password>", Content_Type=b"text/html"), LINK),
    "text instead of a file": (answer(body=IN_BYTES, Content_Type=b"text/plain"), (LINK[0], {**LINK[1], "size": 5})),
    "content type": (answer(body=b"x", Content_Type=b"text/" + IN_BYTES), LINK),
    "address of a redirect": (answer("302 Found", Location=b"https://a.example/" + IN_BYTES), LINK),
    "host of a redirect": (answer("302 Found", Location=b"https://a" + IN_BYTES + b".example/"), LINK),
    "scheme of a redirect": (answer("302 Found", Location=IN_BYTES + b"://a.example/"), LINK),
    "very long reason phrase": (answer(b"404 " + b"x" * 60_000), LINK),
    "status line": (b"HTTP/1.1 " + IN_BYTES + b"\r\n\r\n", LINK),
    "reason phrase of a store": (answer(b"403 " + IN_BYTES, b"<p>" + IN_BYTES), HTTPS),
    "login of a store": (answer(b"401 No", WWW_Authenticate=b"Basic realm=" + IN_BYTES), HTTPS),
    "redirect of a store": (answer("302 Found", Location=b"https://a.example/" + IN_BYTES), HTTPS),
    "catalog that is none": (answer(body=IN_BYTES), HTTPS),
    "catalog with odd fields": (
        answer(body=json.dumps({"schema": 1, "records": [{"schema": 1, BAD: BAD, "name": BAD}]}).encode()),
        HTTPS,
    ),
    "catalog with half a character": (answer(body=b'{"schema": "\\ud83d", "records": [{"name": "\\ud83d"}]}'), HTTPS),
    "error of S3": (answer("400 Bad", S3_ERROR, Content_Type=b"application/xml"), ("image_catalog_info", S3)),
    "error of Azure": (
        answer(b"400 " + IN_BYTES, S3_ERROR, Content_Type=b"application/xml", x_ms_error_code=IN_BYTES),
        ("image_catalog_info", AZURE),
    ),
    "error of Graph": (
        answer("400 Bad", GRAPH_ERROR, Content_Type=b"application/json"),
        ("image_catalog_info", GRAPH),
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _connection: None, tls=tmp_path_factory.mktemp("tls")) as running:
        yield running


@pytest.mark.parametrize("source", SERVERS)
def test_what_a_server_says(modules: Modules, server: ScriptedServer, source: str) -> None:
    said, (module, options) = SERVERS[source]

    def script(connection: Connection) -> None:
        while connection.request():
            connection.say(said)

    server.script = script
    given = {
        key: value.replace("URL", server.url) if isinstance(value, str) else value for key, value in options.items()
    }
    code, output = modules.run(module, **given, ca_path=server.ca_path, retries=0, timeout=5)
    assert code, output
    assert_escaped(code, output)


def test_the_banner_of_an_sftp_server(modules: Modules) -> None:
    with ScriptedServer(lambda connection: connection.say(IN_BYTES + b"\r\nSSH-1.0-" + IN_BYTES + b"\r\n")) as server:
        destination = server.url.replace("http:", "sftp:") + "/images"
        options = {"username": "u", "password": "very secret", "retries": 0, "timeout": 5}
        code, output = modules.run("image_catalog_info", destination=destination, **options)
    assert code
    assert_escaped(code, output)


def test_what_ssh_keygen_says(collections: pathlib.Path, tmp_path: pathlib.Path) -> None:
    program = tmp_path / "ssh-keygen"
    said = f"#!{sys.executable}\nimport sys\nsys.stdin.read()\nfor file in (sys.stdout, sys.stderr):\n"
    program.write_text(f"{said}    file.buffer.write({IN_BYTES!r})\nsys.exit(255)\n")
    program.chmod(0o755)
    (tmp_path / "key").write_text("no key")
    (tmp_path / "key").chmod(0o600)
    environment = {"HOME": str(tmp_path), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    record: dict[str, Any] = {"name": "win11", "version": "1", "arch": "arm64", "sha256": "0" * 64, "size": 1}
    record["url"] = "https://a.example/a.pvmp"
    options = {"destination": tmp_path.as_uri(), "retries": 0}
    signing = {"signing_key_path": str(tmp_path / "key"), "signing_identity": "a@example.com"}
    with Modules(os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable, collections, environment) as modules:
        code, output = modules.run("image_catalog", record=record, **options, **signing)
    assert code, output
    assert_escaped(code, output, "ssh-keygen refused", r"\x08\x08Z")


def test_names_of_files_in_a_store(modules: Modules, tmp_path: pathlib.Path) -> None:
    for name in ("left" + BAD.replace("/", ""), "half \udcff"):
        (tmp_path / f"{name}.pvmp").write_bytes(b"left")
    (tmp_path / "catalog.json").write_text('{"schema": 1, "records": []}')
    code, output = modules.run("image_catalog_info", destination=tmp_path.as_uri(), inventory=True)
    assert_escaped(code, output)
    assert not code, output
    assert sorted(json.loads(output)["inventory"]["strays"])[0].startswith("half \\udcff")


PLAYBOOK = """\
---
- name: Say it
  hosts: mac
  gather_facts: false
  tasks:
    - name: Warn
      macops.parallels.vm_info:
        name: "{{ uuid }}"
        executable: "{{ prlctl }}"
      register: seen
    - name: Show
      ansible.builtin.debug:
        msg: "{{ seen.vms[0].name | macops.parallels.printable }}"
    - name: Fail
      macops.parallels.vm_exec:
        name: "{{ uuid }}"
        executable: "{{ prlctl }}"
        argv: ["true"]
      ignore_errors: true
    - name: Wrong records
      ansible.builtin.debug:
        msg: "{{ [{'name': seen.vms[0].name}] | macops.parallels.golden_image_sheet }}"
      ignore_errors: true
"""


def local_mac() -> dict[str, Any]:
    python = os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable
    return {"ansible_connection": "local", "ansible_python_interpreter": python}


def test_the_terminal(play: Any, prlctl: Callable[[str], str], tmp_path: pathlib.Path) -> None:
    """What a real run prints, byte for byte."""
    (tmp_path / "say.yml").write_text(PLAYBOOK)
    run = play(
        tmp_path / "say.yml",
        {"mac": local_mac()},
        {"uuid": UUID, "prlctl": prlctl(BAD)},
        environment={"HOME": str(tmp_path)},
    )
    assert run.rc == 0, run.output
    found = RAW.search(run.output)
    assert found is None, f"{found.group()!r} in {run.output[max(0, found.start() - 200) : found.end() + 50]!r}"
    assert run.output.count(r"\u202e") > 2
    assert run.output.count(r"\x9b2J") > 2


SECRET_PLAYBOOK = """\
---
- name: Ask the guest
  hosts: mac
  gather_facts: false
  tasks:
    - name: Long
      macops.parallels.vm_exec:
        name: linux
        executable: "{{ prlctl }}"
        argv: [sh, -c, "sleep 5; cat"]
        stdin: "{{ secret }}"
      no_log: true
      register: said
    - name: Compare
      ansible.builtin.assert:
        that: said.stdout == secret
        quiet: true
      no_log: true
"""


def test_a_job_keeps_no_secret(play: Any, simulated_mac: Any, tmp_path: pathlib.Path) -> None:
    """A command that reads a secret and prints it: a job of its own, whose result is fetched later."""
    secret = f"Steinkauz-of-the-guest-{os.getpid()}"
    simulated_mac.vm("linux", os="ubuntu", state="running")
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "ask.yml").write_text(SECRET_PLAYBOOK)
    secrets = Secrets({"of the guest": secret})

    with (
        # Ansible has a socket there, whose path may not be long.
        tempfile.TemporaryDirectory() as temporary,
        Watch(secrets) as watch,
        play.start(
            tmp_path / "ask.yml",
            {"mac": local_mac()},
            {"secret": secret, "prlctl": simulated_mac.prlctl_path},
            environment={"HOME": str(home), "TMPDIR": str(temporary)},
        ) as running,
    ):
        done = running.finish()
        assert done.rc == 0, done.output
        secrets.look_in_files(pathlib.Path(temporary), "temporary files")
    secrets.look_in(done.output, "the output", "output")
    secrets.look_in_files(home, "home")
    kept = {path.name for path in (home / ".ansible/macops.parallels/jobs").rglob("*")}
    assert "ended.json" in kept, "it was no job"
    assert not kept & {"answer", "errors", "progress.json"}
    assert watch.processes > 3
    secrets.assert_nowhere("output", "home", "command lines")
