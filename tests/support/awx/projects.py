# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects and their updates (AWX 24.6.1, recorded: project). The checkout is a real one, made with git."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .kinds import Change, Rules
from .refusals import invalid

if TYPE_CHECKING:
    from .database import Record

GIT_SCHEMES = ("", "git", "http", "https", "ssh", "git+git", "git+http", "git+https", "git+ssh", "ftp", "ftps", "file")

# A change of one of these starts an update.
FETCHED = ("scm_type", "scm_url", "scm_branch", "scm_refspec")

_PLAYBOOK = re.compile(
    r"^\s*?-?\s*?(?:ansible\.builtin\.)?(?:hosts|include|import_playbook|ansible\.builtin\.import_playbook):\s*?.*?$",
    re.MULTILINE,
)
_VAULTED = "$ANSIBLE_VAULT;"
# Folders in which AWX looks for no playbooks, at any depth.
SKIPPED_FOLDERS = ("roles", "tasks", "group_vars", "host_vars")
MOST_INVENTORIES = 50


class Projects(Rules):
    """What AWX checks of projects, and their updates."""

    def check(self, change: Change) -> None:
        old, new, given = change.old, change.new, change.given
        kind, url = new["scm_type"], new["scm_url"]
        moved = old is not None and given.get("organization", old["organization"]) != old["organization"]
        if old is not None and moved and self.awx.database.find("job_template", project=old.id):
            raise invalid(organization="Organization cannot be changed when in use by job templates.")
        if kind == "insights" and not new["credential"]:
            raise invalid(credential="Insights Credential is required for an Insights Project.")
        if kind and kind != "insights":
            if not url:
                raise invalid(scm_url="SCM URL is required.")
            if kind == "git" and not _is_git_url(url):
                raise invalid(scm_url="Unsupported git URL")
        if new["scm_refspec"] and kind != "git":
            raise invalid(scm_refspec="SCM refspec can only be used with git projects.")
        self._check_credential(new)
        if not kind and given.get("local_path"):
            # A manual project is a folder of the server, and this server has none.
            raise invalid(local_path="This path is already being used by another manual project.")
        if old is None:
            new |= {"status": "missing" if not kind else "never updated", "scm_revision": "", "last_job_failed": False}
            new |= {"last_update_failed": False, "last_updated": None, "last_job_run": None, "custom_virtualenv": None}

    def _check_credential(self, new: dict[str, object]) -> None:
        credential = self.awx.database.get("credential", new["credential"])  # type: ignore[arg-type]
        if credential is None:
            return
        kind = self.awx.database.get("credential_type", credential["credential_type"])
        wanted = "insights" if new["scm_type"] == "insights" else "scm"
        if kind is None or kind["kind"] != wanted:
            raise invalid(credential=f"Credential kind must be '{wanted}'.")

    def made(self, record: Record, change: Change) -> None:
        if record["scm_type"]:
            slug = re.sub(r"[^a-z0-9]+", "_", record["name"].lower()).strip("_")
            record["local_path"] = f"_{record.id}__{slug}"
            self.awx.jobs.updates.project(record, change.user, "manual")

    def changed(self, record: Record, change: Change) -> None:
        if record["scm_type"] and any(change.before[name] != record[name] for name in FETCHED):
            self.awx.jobs.updates.project(record, change.user, "manual")

    def removed(self, record: Record) -> None:
        for template in self.awx.database.find("job_template", project=record.id):
            template["playbook"] = ""


def _is_git_url(url: str) -> bool:
    if re.match(r"^[^/:]+@[^/:]+:", url):
        return True
    return urlsplit(url).scheme in GIT_SCHEMES


def check_out(url: str, branch: str, folder: Path) -> str:
    """Check a repository out into a folder, and return its revision; raise CalledProcessError where git cannot."""
    if not folder.exists():
        _git("clone", "--quiet", "--no-checkout", url, str(folder))
    else:
        # The project may have another URL by now.
        _git("-C", str(folder), "remote", "set-url", "origin", url)
        _git("-C", str(folder), "fetch", "--quiet", "--all", "--tags")
        _git("-C", str(folder), "remote", "set-head", "origin", "--auto")
    tips = [f"origin/{branch}", branch] if branch else ["origin/HEAD"]
    for tip in tips:
        found = _git("-C", str(folder), "rev-parse", "--verify", "--quiet", f"{tip}^{{commit}}", check=False)
        if found:
            _git("-C", str(folder), "checkout", "--quiet", "--force", "--detach", found)
            return found
    raise subprocess.CalledProcessError(1, ["git", "checkout", branch])


def _git(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", "-c", "safe.directory=*", *arguments],
        capture_output=True,
        text=True,
        check=check,
        stdin=subprocess.DEVNULL,
        env=None,
    )
    return done.stdout.strip()


def playbooks_in(folder: Path) -> list[str]:
    """Return the files that AWX offers as playbooks: what looks like a play, by a pattern, in a YAML file."""
    found = []
    for path in _files(folder):
        inside = path.relative_to(folder)
        if path.suffix not in (".yml", ".yaml"):
            continue
        if any(part in SKIPPED_FOLDERS or part.startswith(".") for part in inside.parts[:-1]):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        if text.startswith(_VAULTED) or _PLAYBOOK.search(text):
            found.append(str(inside))
    return sorted(found)


def inventories_in(folder: Path) -> list[str]:
    """Return the files that AWX offers as inventories. Those in YAML are not among them."""
    found = []
    for path in _files(folder):
        inside = path.relative_to(folder)
        if any(part in SKIPPED_FOLDERS or part.startswith(".") for part in inside.parts):
            continue
        executable = path.stat().st_mode & 0o111
        if path.name in ("inventory", "hosts") or path.suffix == ".ini" or executable or _looks_like_ini(path):
            found.append(str(inside))
    return sorted(found)[:MOST_INVENTORIES]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()] if folder.is_dir() else []


def _looks_like_ini(path: Path) -> bool:
    if path.suffix:
        return False
    return bool(re.search(r"^\s*\[[^\]]+\]\s*$", path.read_text(encoding="utf-8", errors="ignore"), re.MULTILINE))
