# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The provenance statement: the source of an image, and how, when and with which tools it was built.

It is an in-toto statement (v1) with an SLSA provenance predicate (v1). docs/trust.md describes each part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from .._common.errors import TaskError
from .._common.json_reader import read_json
from .._common.retry import Retries
from .._common.version import VERSION
from .._records.record import TIME_FORMAT
from .._stores.base import Store, check_name
from .signature import PROVENANCE_KIND, AnyKey, Signer, Verifier, signatures_in
from .statements import OF_SIGNED_PROVENANCE, PROVENANCE, SIGNATURE, SIGNED_BY, SIGNED_FOR, provenance_verdict

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
# docs/trust.md describes it. An address of that page would have to be a public one.
BUILD_TYPE = "urn:macops-parallels:build-type:build-image:v1"
# An extension field. Its prefix names the vendor, because SLSA does not define it.
COMMANDS = "macops_commands"

_CONTENT_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Subject:
    """The image that the statement describes."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Build:
    """The known facts about the build."""

    builder_id: str
    invocation_id: str
    started_at: datetime
    finished_at: datetime
    parameters: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    # Each has a name, and a uri or a sha256.
    materials: Sequence[Mapping[str, Any]] = ()
    commands: Sequence[Mapping[str, Any]] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def statement(subject: Subject, build: Build) -> dict[str, Any]:
    """Return the provenance statement."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject.name, "digest": {"sha256": subject.sha256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _told(build.parameters),
                "internalParameters": _told(build.environment),
                "resolvedDependencies": [*_source(build.source), *map(_material, build.materials)],
            },
            "runDetails": {
                "builder": {
                    "id": build.builder_id,
                    "version": {"macops.parallels": VERSION, **_told(build.versions)},
                },
                "metadata": {
                    "invocationId": build.invocation_id,
                    "startedOn": build.started_at.strftime(TIME_FORMAT),
                    "finishedOn": build.finished_at.strftime(TIME_FORMAT),
                    COMMANDS: [_command(command) for command in build.commands],
                },
            },
        },
    }


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that are known."""
    return {key: value for key, value in facts.items() if value not in (None, "")}


def _source(source: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the source VM as a dependency. It has no digest, because a VM changes whenever it runs."""
    known = _told(source)
    if not known.get("uuid"):
        return []
    return [{"name": "source VM", "uri": f"urn:uuid:{known['uuid']}", "annotations": known}]


def _material(material: Mapping[str, Any]) -> dict[str, Any]:
    given = _told(material)
    if not given.get("name") or not (given.get("uri") or given.get("sha256")):
        raise TaskError("An entry of materials is incomplete. Give each entry a name, and a uri or a sha256 or both.")
    digest = given.pop("sha256", None)
    return {**given, "digest": {"sha256": digest}} if digest else given


def _command(command: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cmd": list(command["cmd"]),
        "rc": command["rc"],
        "startedOn": command["started_at"],
        "seconds": command["seconds"],
    }


def serialized(content: Mapping[str, Any]) -> bytes:
    """Return the bytes of a statement that are written and signed."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class Published:
    """The result of publishing a statement. In check mode, the expected result."""

    changed: bool
    statement: dict[str, Any]
    # The previous statement, empty if there was none.
    before: dict[str, Any]


class ProvenanceFile:
    """The statement of one image in a store, and its signature."""

    def __init__(
        self,
        store: Store,
        retries: Retries,
        file: str,
        signer: Optional[Signer] = None,
        verifier: Optional[Verifier] = None,
        store_identity: str = "",
    ) -> None:
        """With a verifier, the statements of all allowed signers are accepted. Otherwise only those of the own key."""
        check_name(file)
        self._store = store
        self._retries = retries
        self._signer = signer
        self._verifier = verifier
        self._identity = store_identity
        self.name = file + PROVENANCE
        self.signature_name = self.name + SIGNATURE

    def publish(self, content: dict[str, Any], check_mode: bool = False) -> Published:
        """Write the statement next to the image, after its signature. The record that names them is written later.

        An existing statement about the same bytes is kept, because it describes the run that built them: with a key or
        with allowed signers, only one that is verified, because anyone may have written another. The signature comes
        first, beside that of an existing statement, so that a run that is killed leaves no statement without one.
        """
        if self._signer is not None:
            content = self._for_signer(content, self._signer)
        found = self._retries.call(lambda: self._store.read(self.name))
        there = _parsed(found[0]) if found is not None else {}
        signatures = self._signatures()
        if (
            found is not None
            and there.get("subject") == content["subject"]
            and self._is_proven(found[0], content, signatures)
        ):
            return Published(False, there, there)
        if not check_mode:
            data = serialized(content)
            if self._signer is not None:
                signature = self._signer.sign(PROVENANCE_KIND, data)
                kept = signatures[:1] if found is not None else []
                self._write_signatures([signature, *kept])
                self._write(self.name, data, _CONTENT_TYPE)
                if kept:
                    self._write_signatures([signature])
            else:
                self._write(self.name, data, _CONTENT_TYPE)
        return Published(True, content, there)

    def _for_signer(self, content: dict[str, Any], signer: Signer) -> dict[str, Any]:
        """Return the statement with its signer and its store, which are covered by the signature."""
        predicate = content["predicate"]
        details = predicate["runDetails"]
        metadata = {
            **details["metadata"],
            OF_SIGNED_PROVENANCE[SIGNED_BY]: signer.identity,
            OF_SIGNED_PROVENANCE[SIGNED_FOR]: self._identity,
        }
        return {**content, "predicate": {**predicate, "runDetails": {**details, "metadata": metadata}}}

    def _signatures(self) -> list[str]:
        if self._signer is None and self._verifier is None:
            return []
        found = self._retries.call(lambda: self._store.read(self.signature_name))
        return signatures_in(found[0].decode("utf-8", errors="replace")) if found is not None else []

    def _is_proven(self, data: bytes, content: Mapping[str, Any], signatures: Sequence[str]) -> bool:
        """Return whether a statement is signed, for this store. Always true with neither a key nor allowed signers."""
        if self._signer is None and self._verifier is None:
            return True
        subject = content["subject"][0]
        record = {"file": subject["name"], "sha256": subject["digest"]["sha256"]}
        return any(self._is_good(data, signature, record) for signature in signatures)

    def _is_good(self, data: bytes, signature: str, record: Mapping[str, Any]) -> bool:
        if self._verifier is not None:
            return provenance_verdict(data, signature, record, self._verifier, self._identity).is_good
        signer = self._signer
        if signer is None or not signer.has_made(signature):
            return False
        return provenance_verdict(data, signature, record, AnyKey(signer.keygen), self._identity).is_good

    def _write_signatures(self, signatures: Sequence[str]) -> None:
        self._write(self.signature_name, "".join(signatures).encode(), "text/plain; charset=utf-8")

    def _write(self, name: str, data: bytes, content_type: str) -> None:
        self._retries.call(lambda: self._store.write(name, data, content_type))


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        content = read_json(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
