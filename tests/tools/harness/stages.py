# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of C(make test), in the order in which they start."""

from __future__ import annotations

import ast
import concurrent.futures
import pathlib
import re
import subprocess
from collections.abc import Sequence

from . import environments, packages, pythons
from .layout import CONTROLLER_PYTHON, MAC_PYTHON, TARGET_PYTHONS, ToolError
from .pip_seed import seed_pip
from .results import Counts, find_attacks, find_awx_table, find_fault_table, find_promises, find_warnings, read_junit
from .runner import Options, Stage, StageRun
from .staging import stage, stage_for_ansible_test

# Warnings of Ansible's that a run may show. Each entry says why it cannot be avoided.
ALLOWED_WARNINGS: tuple[re.Pattern[str], ...] = ()

# The importer runs flake8 with all that it knows. PEP 8 asks for, and ruff format writes, blanks round the colon of a
# slice, as in a[x + 1 : y] (E203), and a break before an operator (W503); a body of dots follows its def (E704).
NOT_OUR_STYLE = re.compile(r"\b(E203|E704|W503)\b")

# The importer refuses a collection without a repository, and this one has no public repository to name.
IMPORTER_NEEDS = "repository: https://example.invalid/\n"

# What bandit need not report of tests: modes that are to be refused (B103), files in /tmp (B108), addresses and XML of
# servers that tests run (B310, B314), and digests that a service asks for (B324).
HARMLESS_IN_TESTS = "B103,B108,B310,B314,B324"

COLOR = ("--color", "no")

# Seconds. A test that hangs fails with the stack of where it hangs, and the others go on.
LONGEST_TEST = 1200

# Tests that start servers and programs take three quarters of the time, and their rooms work on the Mac: what another
# Python may do to them is seen in the night, on the newest.
ON_THE_MAC = ("_catalog", "_jobs", "_stores", "_trust")
WITH_SERVERS = tuple(word for room in ON_THE_MAC for word in ("--exclude", f"tests/unit/plugins/module_utils/{room}/"))

# The Pythons of which all that can differ is seen: Apple's own, and the controller's.
ENDS = (TARGET_PYTHONS[0], TARGET_PYTHONS[-1])

# The versions of ansible-core whose templates differ most build over SSH, and in check mode.
SCENARIO_CORES = ("2.16", "2.19")
MAIN_SCENARIOS = (
    "tests/scenario/test_build_image.py::test_from_a_running_vm_to_a_proven_link",
    "tests/scenario/test_build_image.py::test_check_mode_tells_and_touches_nothing",
)

# The versions of ansible-core in the execution environments that AWX runs jobs in.
AWX_CORES = ("2.16", "2.19", "2.21")

# Smoke tests that the scenarios make needless in an everyday run.
SMOKE_BUILD = "tests/smoke/test_build_image.py::test_the_playbook_builds_an_image_once"
SMOKE_CANCEL = "tests/smoke/test_build_image.py::test_a_canceled_playbook_leaves_no_work_behind"
SPARED_IN_SMOKE = {
    "2.16": (SMOKE_BUILD,),
    "2.18": (),
    "2.19": (SMOKE_BUILD, SMOKE_CANCEL),
    "2.21": (SMOKE_BUILD, SMOKE_CANCEL),
}

# The versions of ansible-core that only C(make test-all) tries.
NIGHTLY_CORES = ("2.18",)

# Tests that are for the night.
NIGHTLY = "nightly"


def lint(run: StageRun) -> Counts:
    """Read the sources: Python, YAML, Ansible, documentation, changelog, what an execution environment needs, shell."""
    tools = environments.LINT.ready() / "bin"
    tree = stage_for_ansible_test(run.scratch)
    variables = {"ANSIBLE_COLLECTIONS_PATH": run.scratch}
    commands: dict[str, list[object]] = {
        "ruff": ["ruff", "check", "--no-cache", "."],
        "ruff-format": ["ruff", "format", "--check", "--no-cache", "."],
        # The plugins wholly; of the tests, what may harm who runs them.
        "bandit": ["bandit", "--quiet", "--recursive", "plugins"],
        "bandit-tests": ["bandit", "--quiet", "--severity-level", "medium", "--skip", HARMLESS_IN_TESTS, "-r", "tests"],
        "yamllint": ["yamllint", "--strict", "."],
        "ansible-lint": ["ansible-lint", "--offline", "--profile", "production", "--strict", "--nocolor"],
        "antsibull-docs": ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "."],
        "antsibull-changelog": ["antsibull-changelog", "lint"],
        "ansible-builder": ["ansible-builder", "introspect", "--sanitize", run.scratch],
        # The example's: of the container, only how it is made can be seen without a network.
        "ansible-builder-create": [
            "ansible-builder",
            "create",
            "--file",
            tree / "examples" / "image-project" / "execution-environment.yml",
            "--context",
            run.scratch / "context",
        ],
        "shellcheck": ["shellcheck", *_shell_scripts(tree)],
    }
    counts = Counts()
    for name, command in commands.items():
        if not run.options.only or name in run.options.only:
            counts.check(name, run.run(command, tree, (tools,), variables) == 0)
    return counts


def _shell_scripts(tree: pathlib.Path) -> list[pathlib.Path]:
    """Return the files that a shell runs, except for those that are Python from their second line on."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-standard"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    files = [tree / name for name in names if name]
    scripts = [path for path in files if re.match(rb"#!.*\b(ba|da|z|k)?sh\b", path.read_bytes()[:100])]
    return [path for path in scripts if not _is_python(path)]


def _is_python(path: pathlib.Path) -> bool:
    try:
        ast.parse(path.read_bytes())
    except SyntaxError:
        return False
    return True


def sanity(run: StageRun) -> Counts:
    """Run all of ansible-test sanity. What it does once for each Python, it does for each that the collection supports.

    In an everyday run, each module is imported by the oldest and the newest of these Pythons alone, and pylint reads
    the plugins.
    """
    controller, tree = _prepare_ansible_test(run)
    folders = (controller / "bin", *pythons.python_folders())
    parts = [[word for name in run.options.only for word in ("--test", name)]]
    if not run.options.only:
        parts = sanity_parts(run.options.everything)
    codes = [run.run(["ansible-test", "sanity", "--junit", *COLOR, *part], tree, folders) for part in parts]
    found = read_junit(tree.glob("tests/output/junit/*.xml"))
    return _with_exit_code(found, max(codes), "ansible-test sanity")


def sanity_parts(everything: bool) -> list[list[str]]:
    """Return the options of the runs that together are all of the sanity tests.

    The Pythons are named: for one that ansible-test supports but the collection does not yet, it would tell of a skip.
    """
    by_python = ("compile", "import")
    importing = TARGET_PYTHONS if everything else ENDS
    apart = by_python if everything else (*by_python, "pylint")
    parts = [[word for name in apart for word in ("--skip-test", name)]]
    if not everything:
        # Of what users run. There is twice as much code of tests, which ruff reads every day.
        parts.append(["--test", "pylint", "plugins/"])
    for version in TARGET_PYTHONS:
        tests = [name for name in by_python if name == "compile" or version in importing]
        parts.append(["--python", version, *(word for name in tests for word in ("--test", name))])
    return parts


def units(version: str) -> Stage:
    """Return the stage that runs the unit tests on one Python of the build Macs and the controllers."""

    def work(run: StageRun) -> Counts:
        controller, tree = _prepare_ansible_test(run)
        python = environments.UNITS[version].ready() / "bin" / "python"
        where = (*_controller(controller), "--target-python", f"{version}@{python}")
        with_servers = ENDS if run.options.everything else (MAC_PYTHON,)
        left_out = () if version in with_servers or run.options.only else WITH_SERVERS
        if not run.options.everything and not run.options.only:
            (tree / "tests" / "unit" / "everyday").touch()
        # As many processes as slots, and a slot is one of them.
        command = ["ansible-test", "units", "--num-workers", "1", *COLOR, *where, *left_out, *run.options.only]
        code = run.run(command, tree, (controller / "bin",))
        found = read_junit(tree.glob(f"tests/output/junit/python{version}-*.xml"))
        return _with_exit_code(found, code, f"ansible-test units, Python {version}")

    what = f"ansible-test units on Python {version}"
    programs = (packages.GIT, packages.CURL, packages.SHASUM)
    return Stage(f"units-{version}", what, work, programs, nightly=version not in ENDS)


def integration(run: StageRun) -> Counts:
    """Run the integration targets side by side, their modules under the Python of a Mac."""
    controller, tree = _prepare_ansible_test(run)
    python = environments.UNITS[MAC_PYTHON].ready() / "bin" / "python"
    where = (*_controller(controller), "--target", f"controller:python={MAC_PYTHON}@{python}")
    _configure_ansible(tree, run.scratch / "packed-modules")
    if not run.options.everything and not run.options.only:
        # Variables of the targets; without this file they do all that they can.
        (tree / "tests" / "integration" / "integration_config.yml").write_text("every_case: false\n", encoding="utf-8")
    all_targets = integration_targets(tree)
    targets = [word for word in run.options.only if word in all_targets] or all_targets
    options = [word for word in run.options.only if word not in all_targets]

    def run_target(target: str) -> tuple[int, str]:
        log = run.scratch / f"{target}.log"
        command = ["ansible-test", "integration", *COLOR, *where, *options, target]
        return run.run(command, tree, (controller / "bin",), log=log), log.read_text(encoding="utf-8", errors="replace")

    counts = Counts()
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(targets)) as pool:
        # Failed ones last: the end of the log is what is shown.
        for (code, output), target in sorted(
            zip(pool.map(run_target, targets), targets), key=lambda done: done[0][0] != 0
        ):
            run.note(output)
            counts.add(_with_exit_code(count_targets(output), code, f"ansible-test integration {target}"))
    return counts


def _configure_ansible(tree: pathlib.Path, modules: pathlib.Path) -> None:
    """Write the settings of Ansible in the targets: those of all tests, and a folder of packed modules for all."""
    modules.mkdir()
    support = tree / "tests" / "support"
    settings = f"callback_plugins = {support / 'callbacks'}\n[packed_modules]\nfolder = {modules}\n"
    shared = (support / "ansible.cfg").read_text(encoding="utf-8")
    (tree / "tests" / "integration" / "integration.cfg").write_text(shared + settings, encoding="utf-8")


def integration_targets(tree: pathlib.Path) -> tuple[str, ...]:
    """Return the names of the integration targets that are tests, not parts of others."""
    folders = sorted((tree / "tests" / "integration" / "targets").iterdir())
    return tuple(folder.name for folder in folders if "hidden" not in (folder / "aliases").read_text().split())


def count_targets(output: str) -> Counts:
    """Count one test a target; the tasks in them are not worth a count of their own."""
    counts = Counts()
    failed = set()
    listed = re.search(r"integration test\(s\) listed below .* failed[^\n]*\n((?:\S+\n)+)", output)
    if listed:
        failed = set(listed.group(1).split())
    names = re.findall(r"^Running (\S+) integration test", output, re.MULTILINE)
    for name in dict.fromkeys(names):
        counts.check(name, name not in failed)
    for reason in re.findall(r"^WARNING: ((?:Excluding|Skipping) .*)", output, re.MULTILINE):
        counts.skip(reason)
    for warning in find_warnings(output, ALLOWED_WARNINGS):
        counts.fail(f"a warning in the output: {warning}")
    return counts


def simulator(run: StageRun) -> Counts:
    """Run the simulated Mac's own tests."""
    return _pytest(run, environments.CONTROLLER.ready(), stage(run.scratch), ("tests/simulator",))


def tools(run: StageRun) -> Counts:
    """Run the tests of what runs the tests."""
    return _pytest(run, environments.CONTROLLER.ready(), stage(run.scratch), ("tests/tools",))


def scenario(run: StageRun) -> Counts:
    """Run whole playbooks over OpenSSH against the simulated Mac and real servers."""
    controller = environments.CONTROLLER.ready()
    counts = _pytest(
        run,
        controller,
        stage(run.scratch),
        ("tests/scenario",),
        _with_mac_python(),
        _store_servers(),
        run.options.jobs,
        # One by one in their order, which is that of tests/scenario/conftest.py: the longest first.
        sharing=("--dist=load", "--maxschedchunk=1"),
    )
    counts.notes = find_fault_table(run.output())
    return counts


def security(run: StageRun) -> Counts:
    """Attack: another user of the Mac, a writer of the store without a key, a hostile server."""
    # One process, since each makes accounts of its own, with a copy of a Python.
    tree = stage(run.scratch)
    counts = _pytest(run, environments.CONTROLLER.ready(), tree, ("tests/security",), _with_mac_python())
    counts.notes = find_attacks(run.output())
    return counts


def stores(run: StageRun) -> Counts:
    """Hold every kind of store to the same promises, on real servers."""
    counts = _pytest(
        run,
        environments.STORES.ready(),
        stage(run.scratch),
        ("tests/stores",),
        programs=_store_servers(),
        workers=run.options.jobs,
        # Each kind of store in one process, so that its servers start once.
        sharing=("--dist=loadgroup",),
    )
    counts.notes = find_promises(run.output())
    return counts


def _with_mac_python() -> dict[str, object]:
    """Return the variable that tells the scenarios which Python a Mac has; it has the libraries of the stores."""
    return {"MACOPS_TARGET_PYTHON": environments.STORES.ready() / "bin" / "python"}


def _store_servers() -> tuple[pathlib.Path, ...]:
    return (environments.SERVERS.ready() / "bin", environments.AZURITE.ready())


def awx(run: StageRun) -> Counts:
    """Configure a stand-in of AWX, and run the playbooks as AWX runs them, with each ansible-core that it may have."""
    cores: dict[str, object] = {
        f"MACOPS_CORE_{version.replace('.', '_')}": environments.CORES[version].ready() / "bin" for version in AWX_CORES
    }
    variables = {**_with_mac_python(), **cores}
    counts = _pytest(run, environments.AWX.ready(), stage(run.scratch), ("tests/awx",), variables, _store_servers())
    counts.notes = find_awx_table(run.output())
    return counts


def page(run: StageRun) -> Counts:
    """Look at the page for people in a browser."""
    return _pytest(run, environments.CONTROLLER.ready(), stage(run.scratch), ("tests/page",))


def importer(run: StageRun) -> Counts:
    """Build the collection and let Galaxy's importer judge it."""
    tarball = _build(run, IMPORTER_NEEDS)
    tools = environments.IMPORTER.ready() / "bin"
    settings = {
        "RUN_ANSIBLE_TEST": False,
        "RUN_FLAKE8": True,
        "CHECK_REQUIRED_TAGS": True,
        "CHECK_CHANGELOG": True,
        "OFFLINE_ANSIBLE_LINT": True,
    }
    config = run.scratch / "galaxy-importer.cfg"
    config.write_text("[galaxy-importer]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
    code = run.run(
        ["python", "-m", "galaxy_importer.main", tarball], run.scratch, (tools,), {"GALAXY_IMPORTER_CONFIG": config}
    )
    counts = Counts()
    counts.check("galaxy-importer", code == 0)
    for line in re.findall(r"^(?:ERROR|WARNING):? .*", run.output(), re.MULTILINE):
        if not NOT_OUR_STYLE.search(line):
            counts.fail(line)
    return counts


def smoke(core: str) -> Stage:
    """Return the stage that runs the installed collection with one version of ansible-core."""

    def work(run: StageRun) -> Counts:
        collections = _install_pruned(run)
        tree = stage(run.scratch / "source")
        variables: dict[str, object] = {"MACOPS_COLLECTIONS": collections}
        tests = ["tests/smoke"]
        spared = SPARED_IN_SMOKE[core]
        if core in SCENARIO_CORES:
            variables.update(_with_mac_python())
            tests += MAIN_SCENARIOS
        if not run.options.everything:
            tests += [f"--deselect={name}" for name in spared]
        return _pytest(run, environments.CORES[core].ready(), tree, tests, variables)

    what = f"the installed collection with ansible-core {core}"
    programs = (
        (packages.GIT, packages.NGINX, packages.SSHD, packages.SSH) if core in SCENARIO_CORES else (packages.GIT,)
    )
    return Stage(f"smoke-{core}", what, work, programs, nightly=core in NIGHTLY_CORES)


def _install_pruned(run: StageRun) -> pathlib.Path:
    """Install the built collection with nothing in it but what runs."""
    tarball = _build(run)
    tools = environments.CONTROLLER.ready() / "bin"
    target = run.scratch / "installed"
    code = run.run(
        ["ansible-galaxy", "collection", "install", "--offline", tarball, "-p", target], run.scratch, (tools,)
    )
    if code:
        raise ToolError("The built collection could not be installed.")
    _prune(target / "ansible_collections" / "macops" / "parallels")
    return target


def _prune(folder: pathlib.Path) -> None:
    keep = {"meta", "plugins", "roles", "playbooks", "MANIFEST.json", "FILES.json"}
    for entry in list(folder.iterdir()):
        if entry.name not in keep:
            _remove(entry)


def _remove(entry: pathlib.Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        for inner in list(entry.iterdir()):
            _remove(inner)
        entry.rmdir()
    else:
        entry.unlink()


def _build(run: StageRun, metadata: str = "") -> pathlib.Path:
    """Build the collection from a copy, whose galaxy.yml gets the lines of C(metadata), too."""
    tools = environments.CONTROLLER.ready() / "bin"
    tree = stage(run.scratch / "build")
    with (tree / "galaxy.yml").open("a", encoding="utf-8") as file:
        file.write(metadata)
    code = run.run(["ansible-galaxy", "collection", "build", "--output-path", run.scratch, tree], run.scratch, (tools,))
    tarballs = list(run.scratch.glob("*.tar.gz"))
    if code or not tarballs:
        raise ToolError("The collection could not be built.")
    return tarballs[0]


def _pytest(
    run: StageRun,
    environment: pathlib.Path,
    tree: pathlib.Path,
    tests: Sequence[str],
    variables: dict[str, object] | None = None,
    programs: tuple[pathlib.Path, ...] = (),
    workers: int = 1,
    sharing: Sequence[str] = ("--dist=worksteal",),
) -> Counts:
    """Run tests with pytest; each of them takes a slot of the run's pool, whatever number of processes waits for it.

    C(sharing) says how the processes share the tests, in the words of pytest-xdist.
    """
    report = run.scratch / "junit.xml"
    command = [
        "python",
        "-m",
        "pytest",
        "-n",
        workers,
        *sharing,
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        f"--timeout={LONGEST_TEST}",
        "--durations=40",
        "--durations-min=3",
        f"--junitxml={report}",
        *chosen_tests(run.options, tests, tree),
    ]
    code = run.run_sharing(command, tree, (environment / "bin", *programs), variables)
    if "--collect-only" in run.options.only and not code:
        listed = re.findall(r"^tests/.*", run.output(), re.MULTILINE)
        return Counts(only_listed=True, notes=listed)
    return _with_exit_code(read_junit([report] if report.exists() else []), code, f"pytest {' '.join(tests)}")


def chosen_tests(options: Options, tests: Sequence[str], tree: pathlib.Path) -> list[str]:
    """Return what pytest is told to run: what was asked for; else all of the stage, but what is for the night.

    Where only options were given, such as C(--collect-only), they are meant for all of the stage.
    """
    if any((tree / word.partition("::")[0]).exists() for word in options.only):
        return list(options.only)
    return [*tests, *options.only, *([] if options.everything or options.only else ["-m", f"not {NIGHTLY}"])]


def _prepare_ansible_test(run: StageRun) -> tuple[pathlib.Path, pathlib.Path]:
    controller = environments.CONTROLLER.ready()
    seed_pip(controller)
    return controller, stage_for_ansible_test(run.scratch)


def _controller(controller: pathlib.Path) -> tuple[str, str]:
    return "--controller", f"origin:python={CONTROLLER_PYTHON}@{controller / 'bin' / 'python'}"


def _with_exit_code(counts: Counts, code: int, name: str) -> Counts:
    """Let a command that failed without a failed test count as one, and a command that ran no test, too."""
    if code and not counts.failed:
        counts.fail(f"{name} ended with exit code {code}")
    elif not counts.passed + counts.failed:
        counts.fail(f"{name} ran no test")
    return counts


# In the order in which they ask for their first slot: the longest first.
STAGES = (
    Stage(
        "scenario",
        "whole playbooks over OpenSSH and HTTPS",
        scenario,
        (packages.GIT, packages.NGINX, packages.APACHE, packages.SSHD, packages.SSH, packages.NPM),
    ),
    Stage("integration", "ansible-test integration, modules under Python 3.9", integration, (packages.GIT,)),
    Stage("sanity", "ansible-test sanity, all tests", sanity, (packages.GIT, packages.SHELLCHECK)),
    Stage(
        "stores",
        "every kind of store on real servers",
        stores,
        (packages.GIT, packages.NGINX, packages.APACHE, packages.SSHD, packages.SSH, packages.NPM, packages.BTRFS),
    ),
    *(units(version) for version in TARGET_PYTHONS),
    Stage(
        "security",
        "attacks by other users, store writers and servers",
        security,
        (packages.GIT, packages.NGINX, packages.SSHD, packages.SSH),
    ),
    Stage(
        "awx", "AWX: its configuration against a stand-in, jobs as it runs them", awx, (packages.GIT, packages.NGINX)
    ),
    Stage("page", "the page for people in a browser", page, (packages.GIT, packages.CHROMIUM)),
    Stage("simulator", "the simulated Mac's own tests", simulator, (packages.GIT,)),
    Stage("tools", "the tests of what runs the tests", tools, (packages.GIT,)),
    *(smoke(core) for core in environments.CORES),
    Stage("lint", "ruff, yamllint, ansible-lint, antsibull, shellcheck", lint, (packages.GIT, packages.SHELLCHECK)),
    Stage("importer", "galaxy-importer on the built collection", importer, (packages.GIT,), nightly=True),
)
