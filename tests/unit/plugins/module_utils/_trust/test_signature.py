# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures by SSH keys, with the real ssh-keygen."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._trust import signature as signature_module
from ansible_collections.macops.parallels.plugins.module_utils._trust.signature import (
    CATALOG_KIND,
    RECORD_KIND,
    Signer,
    SshKeygen,
    Verifier,
    is_identity,
    is_intact,
    signatures_in,
)
from ansible_collections.macops.parallels.tests.support.ssh_keys import IDENTITY, allow, make_key, run_command

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
DATA = "Büro\0\n\n".encode()
SSH_KEYGEN = SshKeygen(run_command)


@pytest.fixture(name="keys", scope="module")
def fixture_keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Make one key of each kind, and one more."""
    folder = tmp_path_factory.mktemp("keys")
    kinds = {"ed25519": "ed25519", "ecdsa": "ecdsa", "rsa": "rsa", "other": "ed25519"}
    return {name: make_key(folder, name, kind) for name, kind in kinds.items()}


@pytest.fixture(name="allowed")
def fixture_allowed(tmp_path: Path, keys: dict[str, Path]) -> Path:
    lines = [(IDENTITY, keys[name]) for name in ("ed25519", "ecdsa", "rsa")]
    return allow(tmp_path / "allowed signers", *lines)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
@pytest.mark.parametrize("year", [1, 9999])
def test_a_signature_of_any_time(
    keys: dict[str, Path], allowed: Path, monkeypatch: pytest.MonkeyPatch, zone: str, year: int
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        at = datetime(year, 1 if year == 1 else 12, 1 if year == 1 else 31, 0 if year == 1 else 23, tzinfo=timezone.utc)
        verdict = Verifier(SSH_KEYGEN, str(allowed)).verify(RECORD_KIND, DATA, sign(keys["ed25519"]), at, IDENTITY)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert verdict.word in ("good", "unreadable", "foreign", "expired")


def sign(key: Path, data: bytes = DATA, namespace: str = RECORD_KIND) -> str:
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key)]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("identity", [IDENTITY, None])
def test_what_is_signed_is_good(keys: dict[str, Path], allowed: Path, kind: str, identity: Any) -> None:
    signature = Signer(SSH_KEYGEN, str(keys[kind]), IDENTITY).sign(RECORD_KIND, DATA)
    verdict = Verifier(SSH_KEYGEN, str(allowed)).verify(RECORD_KIND, DATA, signature, NOW, identity)
    assert (verdict.word, verdict.is_good) == ("good", True)
    assert IDENTITY in verdict.reason
    assert is_intact(SSH_KEYGEN, RECORD_KIND, DATA, signature)
    assert not is_intact(SSH_KEYGEN, RECORD_KIND, DATA + b"\n", signature)


@pytest.mark.parametrize(
    ("signed", "options", "word", "words"),
    [
        ({"data": DATA + b" "}, {}, "changed", "changed after it was signed"),
        ({"data": DATA.rstrip(b"\n")}, {}, "changed", "changed after it was signed"),
        ({"key": "other"}, {}, "foreign", "does not allow for build@example.com"),
        ({"key": "other"}, {"identity": None}, "foreign", "does not allow for anyone"),
        ({}, {"identity": "jane@example.com"}, "foreign", "does not allow for jane@example.com"),
        ({}, {"identity": "-f"}, "unreadable", "is not a valid identity"),
        ({}, {"identity": "*"}, "unreadable", "is not a valid identity"),
        ({"namespace": "file"}, {}, "foreign", "another purpose"),
        ({"namespace": "macops.parallels"}, {}, "foreign", "another purpose"),
        ({"namespace": CATALOG_KIND}, {}, "foreign", "another purpose"),
        ({"namespace": "git"}, {"identity": None}, "foreign", "another purpose"),
    ],
)
def test_what_is_not_good(
    keys: dict[str, Path], allowed: Path, signed: dict[str, Any], options: dict[str, Any], word: str, words: str
) -> None:
    signature = sign(keys[signed.pop("key", "ed25519")], **signed)
    verdict = Verifier(SSH_KEYGEN, str(allowed)).verify(
        RECORD_KIND, DATA, signature, NOW, **{"identity": IDENTITY, **options}
    )
    assert (verdict.word, verdict.is_good) == (word, False)
    assert words in verdict.reason


@pytest.mark.parametrize(
    "signature",
    ["", "none", "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n", "HALF", "-----BEGIN", "ANOTHER FORM"],
)
def test_what_is_no_signature(keys: dict[str, Path], allowed: Path, signature: str) -> None:
    good = sign(keys["ed25519"])
    if signature == "HALF":
        lines = good.splitlines(keepends=True)
        signature = "".join([lines[0], lines[1], lines[-1]])
    elif signature == "ANOTHER FORM":
        signature = good.replace("SSH SIGNATURE", "PGP SIGNATURE")
    verdict = Verifier(SSH_KEYGEN, str(allowed)).verify(RECORD_KIND, DATA, signature, NOW, IDENTITY)
    assert verdict.word == "unreadable"
    assert not is_intact(SSH_KEYGEN, RECORD_KIND, DATA, signature)


@pytest.mark.parametrize(
    ("options", "at", "word"),
    [
        ('valid-before="20260101"', NOW, "expired"),
        ('valid-before="20260101"', datetime(2025, 6, 1, tzinfo=timezone.utc), "good"),
        ('valid-after="20270101"', NOW, "expired"),
        ('valid-after="20260101",valid-before="20270101"', NOW, "good"),
        ('namespaces="macops.parallels/*"', NOW, "good"),
        ('namespaces="macops.parallels/record,macops.parallels/catalog"', NOW, "good"),
        ('namespaces="macops.parallels/catalog"', NOW, "foreign"),
        ('namespaces="macops.parallels"', NOW, "foreign"),
        ('namespaces="git,file"', NOW, "foreign"),
    ],
)
def test_what_the_file_says_about_a_key(
    tmp_path: Path, keys: dict[str, Path], options: str, at: datetime, word: str
) -> None:
    allowed = allow(tmp_path / "signers", (f"{IDENTITY} {options}", keys["ed25519"]))
    verifier = Verifier(SSH_KEYGEN, str(allowed))
    for identity in (IDENTITY, None):
        verdict = verifier.verify(RECORD_KIND, DATA, sign(keys["ed25519"]), at, identity)
        assert verdict.word == word or (identity is None and not verdict.is_good and word != "good")


def test_several_signatures_in_one_file(keys: dict[str, Path]) -> None:
    one, two = sign(keys["ed25519"]), sign(keys["rsa"])
    assert signatures_in(one) == [one]
    assert signatures_in(one + two) == [one, two]
    assert signatures_in((one + two).replace("\n", "\r\n")) == [one, two]
    for text in ("", "x", one + "x", "x" + one, one + "\0" + two, one * 17):
        assert signatures_in(text) == [text]


def test_a_key_of_an_authority(tmp_path: Path, keys: dict[str, Path]) -> None:
    own = make_key(tmp_path, "own")
    authority = ["ssh-keygen", "-q", "-s", str(keys["other"]), "-I", "id", "-n", IDENTITY, str(own) + ".pub"]
    subprocess.run(authority, check=True, capture_output=True)
    allowed = allow(tmp_path / "signers", (f"{IDENTITY} cert-authority", keys["other"]))
    signature = Signer(SSH_KEYGEN, str(tmp_path / "own-cert.pub"), IDENTITY).sign(RECORD_KIND, DATA)
    assert (
        Verifier(SSH_KEYGEN, str(allowed))
        .verify(RECORD_KIND, DATA, signature, datetime.now(timezone.utc), IDENTITY)
        .is_good
    )


def test_only_the_own_key_counts_as_own(keys: dict[str, Path]) -> None:
    signer = Signer(SSH_KEYGEN, str(keys["ecdsa"]), IDENTITY)
    assert signer.has_signed(RECORD_KIND, DATA, sign(keys["ecdsa"]))
    assert not signer.has_signed(RECORD_KIND, DATA, sign(keys["ed25519"]))
    assert not signer.has_signed(RECORD_KIND, DATA + b" ", sign(keys["ecdsa"]))
    assert not signer.has_signed(RECORD_KIND, DATA, "nothing")


@pytest.fixture(name="agent")
def fixture_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # printed when it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield
        process.terminate()


def test_a_key_that_an_agent_holds(agent: None, tmp_path: Path, keys: dict[str, Path], allowed: Path) -> None:
    public = tmp_path / "public.pub"
    shutil.copy(str(keys["ed25519"]) + ".pub", public)
    signer = Signer(SSH_KEYGEN, str(public), IDENTITY)
    with pytest.raises(TaskError, match="cannot reach an SSH agent with its private key"):
        signer.sign(RECORD_KIND, DATA)
    subprocess.run(["ssh-add", "-q", str(keys["ed25519"])], check=True)
    assert (
        Verifier(SSH_KEYGEN, str(allowed))
        .verify(RECORD_KIND, DATA, signer.sign(RECORD_KIND, DATA), NOW, IDENTITY)
        .is_good
    )


def locked(folder: Path, _key: Path) -> Path:
    return make_key(folder, "locked", passphrase="a long one")


def missing(folder: Path, _key: Path) -> Path:
    return folder / "nowhere"


def public_alone(folder: Path, key: Path) -> Path:
    return Path(shutil.copy(str(key) + ".pub", folder / "alone.pub"))


def open_to_all(folder: Path, key: Path) -> Path:
    copy = Path(shutil.copy(key, folder / "open"))
    copy.chmod(0o644)
    return copy


def no_key(folder: Path, _key: Path) -> Path:
    path = folder / "no key"
    path.write_text("This is no key.\n")
    path.chmod(0o600)
    return path


def broken(folder: Path, key: Path) -> Path:
    path = folder / "broken"
    path.write_text("".join(key.read_text().splitlines(keepends=True)[:3]))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (locked, "has a passphrase, which cannot be entered here. Load the key into an SSH agent"),
        (missing, "There is no file"),
        (public_alone, "is a public key, and this host cannot reach an SSH agent"),
        (open_to_all, "chmod 600"),
        (no_key, "is not an SSH key that ssh-keygen can read"),
        (broken, "is not an SSH key that ssh-keygen can read"),
    ],
)
def test_keys_that_cannot_sign(
    tmp_path: Path, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch, make: Any, words: str
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    path = make(tmp_path, keys["ed25519"])
    with pytest.raises(TaskError, match=words) as caught:
        Signer(SSH_KEYGEN, str(path), IDENTITY).sign(RECORD_KIND, DATA)
    assert str(path) in caught.value.message
    assert "PRIVATE KEY" not in str(caught.value.result())


def test_a_key_of_somebody_else(keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature_module.os, "access", lambda _path, _mode: False)  # root may read everything
    with pytest.raises(TaskError, match="user who signs does not have permission to read"):
        Signer(SSH_KEYGEN, str(keys["ed25519"]), IDENTITY).sign(RECORD_KIND, DATA)


@pytest.mark.parametrize("identity", ["", "two words", "-f", "*@example.com", "a,b", 'a"b', "a\nb", "x" * 300])
def test_identities_that_cannot_be(keys: dict[str, Path], identity: str) -> None:
    assert not is_identity(identity)
    with pytest.raises(TaskError, match="signing_identity cannot be"):
        Signer(SSH_KEYGEN, str(keys["ed25519"]), identity)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read: No such file"), ("", "has no signers"), ("# comment\n\n", "no signers")],
)
def test_files_of_allowed_signers_that_are_none(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "signers"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TaskError, match=words) as caught:
        Verifier(SSH_KEYGEN, str(path))
    assert str(path) in caught.value.message


def test_a_file_of_allowed_signers_with_a_slip(tmp_path: Path, keys: dict[str, Path]) -> None:
    path = tmp_path / "signers"
    path.write_text("build@example.com ssh-ed25519 nonsense\n")
    verdict = Verifier(SSH_KEYGEN, str(path)).verify(RECORD_KIND, DATA, sign(keys["ed25519"]), NOW, IDENTITY)
    assert verdict.word == "foreign"


def test_without_the_program(
    tmp_path: Path, keys: dict[str, Path], allowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signature = sign(keys["ed25519"])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(signature_module, "_FOLDERS", ())
    keygen = SshKeygen(run_command)
    for work in (
        lambda: Signer(keygen, str(keys["ed25519"]), IDENTITY).sign(RECORD_KIND, DATA),
        lambda: Verifier(keygen, str(allowed)).verify(RECORD_KIND, DATA, signature, NOW, IDENTITY),
    ):
        with pytest.raises(TaskError, match=r"ssh-keygen, .* was not found on this host.*Install OpenSSH"):
            work()


def test_a_program_that_fails_in_a_way_nobody_knows(keys: dict[str, Path]) -> None:
    keygen = SshKeygen(lambda *_args, **_options: (255, "", "first\nout of memory.\n"))
    with pytest.raises(TaskError, match=r"ssh-keygen refused \(out of memory\)\. Run `ssh-keygen -Y sign`"):
        Signer(keygen, str(keys["ed25519"]), IDENTITY).sign(RECORD_KIND, DATA)


def test_nothing_is_left_in_the_temporary_folder(
    tmp_path: Path, keys: dict[str, Path], allowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    signature = Signer(SSH_KEYGEN, str(keys["ed25519"]), IDENTITY).sign(RECORD_KIND, DATA)
    assert Verifier(SSH_KEYGEN, str(allowed)).verify(RECORD_KIND, DATA, signature, NOW, IDENTITY).is_good
    assert not Verifier(SSH_KEYGEN, str(allowed)).verify(RECORD_KIND, b"", signature, NOW, IDENTITY).is_good
    assert list((tmp_path / "temporary").iterdir()) == []
