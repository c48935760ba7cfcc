# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a headless Chromium over a pipe, in the words of its own protocol: nothing else has to be installed."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_PATHS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    # The same picture on every machine.
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)
# Seconds; a busy machine may take long to start it.
PATIENCE = 60.0


def find_chromium() -> str:
    """Return the path of the browser."""
    for name in (*NAMES, *MAC_PATHS):
        found = shutil.which(name)
        if found:
            return found
    raise FileNotFoundError("There is no Chromium here. On Debian it is in the package chromium.")


class Chromium(contextlib.AbstractContextManager):
    """A browser with a profile of its own, which is gone when it ends."""

    def __enter__(self) -> Chromium:
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._number = 0
        self._received = b""
        self._events: list[dict[str, Any]] = []
        # The browser reads from its descriptor 3 and writes to 4.
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        flags = [*FLAGS, f"--user-data-dir={self._profile.name}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash", find_chromium(), *flags, "about:blank"],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        return self

    def __exit__(self, *_unused: object) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            self.send("Browser.close")
        os.close(self._to)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._from)
        self._profile.cleanup()

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return the answer to it; events that come before are kept."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            got = self._next()
            if got.get("id") == number:
                if "error" in got:
                    raise RuntimeError(f"{method}: {got['error']}")
                return got["result"]
            self._events.append(got)

    def wait_for(self, event: str, session: str) -> dict[str, Any]:
        """Return the next event of this name."""
        while True:
            for index, got in enumerate(self._events):
                if got.get("method") == event and got.get("sessionId") == session:
                    return self._events.pop(index)["params"]
            self._events.append(self._next())

    def take(self, event: str, session: str) -> list[dict[str, Any]]:
        """Return the events of this name that have come so far, and forget them."""
        mine = [got for got in self._events if got.get("method") == event and got.get("sessionId") == session]
        self._events = [got for got in self._events if got not in mine]
        return [got["params"] for got in mine]

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._received:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._from], [], [], left)[0]:
                raise TimeoutError("Chromium does not answer.")
            block = os.read(self._from, 1 << 20)
            if not block:
                raise OSError(f"Chromium has ended, with exit code {self._process.wait(5)}.")
            self._received += block
        message, self._received = self._received.split(b"\0", 1)
        return json.loads(message)

    @contextlib.contextmanager
    def tab(self, **options: Any) -> Iterator[Tab]:
        """Open an empty tab; the options are those of C(Tab.look_like)."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.send(f"{domain}.enable")
        tab.look_like(**options)
        try:
            yield tab
        finally:
            self.send("Target.closeTarget", targetId=target)


class Tab:
    """One tab of the browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command about this tab."""
        return self._browser.send(method, self._session, **parameters)

    def look_like(
        self, width: int = 1280, height: int = 800, dark: bool = False, scripts: bool = True, scale: float = 1
    ) -> None:
        """Be as wide as that, light or dark, with scripts or without; phones are narrow."""
        mobile = width < 600
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)

    def open(self, url: str) -> Tab:
        """Go to an address and wait until all of it is there."""
        answer = self.send("Page.navigate", url=url)
        if answer.get("errorText"):
            raise RuntimeError(f"{url}: {answer['errorText']}")
        self._browser.wait_for("Page.loadEventFired", self._session)
        return self

    def ask(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript. That works where the page's own scripts do not, too."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Click into the middle of an element, as a person with a mouse does."""
        find = f"document.querySelector({json.dumps(selector)})"
        self.ask(f"{find}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = self.ask(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({find}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, text: str) -> None:
        """Press a key and let it go."""
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text=text, windowsVirtualKeyCode=13)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=13)

    def wait_until(self, expression: str) -> bool:
        """Return whether an expression becomes true within some seconds."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self.ask(expression):
                return True
            time.sleep(0.05)
        return False

    def accessibility(self) -> list[tuple[str, str]]:
        """Return what those who listen are told: the role of each element and its name."""
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")
        ]

    def allow_clipboard(self) -> None:
        """Let pages read what they have copied, so that a test can see it."""
        self._browser.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])

    def picture(self, path: pathlib.Path, whole: bool = False) -> None:
        """Write what is to be seen as a PNG, or with C(whole) all of the page."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """Return what the browser had to say about the page: errors of scripts, what its policy has stopped."""
        logged = self._browser.take("Log.entryAdded", self._session)
        thrown = self._browser.take("Runtime.exceptionThrown", self._session)
        return [entry["entry"]["text"] for entry in logged] + [str(entry["exceptionDetails"]) for entry in thrown]

    def loaded(self) -> list[str]:
        """Return the addresses that were asked for."""
        asked = self._browser.take("Network.requestWillBeSent", self._session)
        return [request["request"]["url"] for request in asked]
