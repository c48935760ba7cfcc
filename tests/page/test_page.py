# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a catalog in a browser: on a phone and on a desk, light and dark, with JavaScript and without."""

from __future__ import annotations

import pytest

from support.catalog_page import example, record

NASTY = "</code><script>window.struck = 1</script><img src=x onerror='struck = 1'> \"' &amp; \u202eevil עברית Büro 🖥"
WIDE = "W" * 300

# What is further to the right than a window of this width; what is not to be seen at all does not count.
TOO_FAR = """
(width => [...document.body.querySelectorAll('*')]
  .filter(e => !e.closest('.unseen, thead') && e.getBoundingClientRect().right > width + 0.5)
  .map(e => e.tagName + ' ' + e.className))
"""

# The contrast of each text with what is behind it, as WCAG 2 computes it, where it is too low.
TOO_FAINT = """
(() => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    throw new Error('nothing is behind it');
  };
  const found = [];
  for (const e of document.body.querySelectorAll('*')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || ['SCRIPT', 'STYLE'].includes(e.tagName) || e.closest('.unseen')) continue;
    const [a, b] = [light(channels(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(e.outerHTML.slice(0, 80) + ' ' + ratio.toFixed(2));
  }
  return found;
})()
"""


@pytest.mark.parametrize("width", [320, 375, 768, 1024, 1199, 1200, 1920])
def test_it_fits_into_every_window(shown, width):
    tab = shown([*example(), record("other", WIDE, title=WIDE, description=WIDE)], width=width)
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert tab.ask(f"{TOO_FAR}({width})") == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 1280])
def test_all_of_it_can_be_read(shown, dark, width):
    tab = shown(example(), width=width, dark=dark)
    tab.click("summary")
    grounds = {False: "rgb(244, 245, 247)", True: "rgb(20, 23, 28)"}
    assert tab.ask("getComputedStyle(document.body).backgroundColor") == grounds[dark]
    assert tab.ask(TOO_FAINT) == []


def test_the_yardsticks_measure(shown):
    tab = shown(example(), width=320)
    tab.ask("document.documentElement.style.setProperty('--quiet', '#a0a0a0')")
    assert any("images available" in found for found in tab.ask(TOO_FAINT))
    tab.ask("document.querySelector('h1').style.width = '400px'")
    assert tab.ask(f"{TOO_FAR}(320)") == ["H1 "]


def test_it_needs_nothing_else_and_nothing_is_stopped(shown):
    tab = shown(example())
    assert [url.rpartition("/")[2] for url in tab.loaded()] == ["index.html"]
    tab.click("button")
    assert tab.complaints() == []


@pytest.mark.parametrize("width", [320, 1280])
def test_a_checksum_and_a_link_are_copied(shown, width):
    records = example()
    tab = shown(records, width=width)
    tab.allow_clipboard()
    newest = records[0]
    for value in (newest["sha256"], newest["url"]):
        button = f'button[data-copy="{value}"]'
        tab.click(button)
        assert tab.wait_until(f"document.querySelector('{button}').textContent === 'Copied'")
        assert tab.ask("navigator.clipboard.readText()") == value
        assert tab.ask("document.getElementById('copied').textContent") == "Copied"
        assert tab.ask(f"document.activeElement === document.querySelector('{button}')")
    # It says Copy again for the next one.
    assert tab.wait_until(f"document.querySelector('{button}').textContent === 'Copy'")


def test_copying_with_the_keyboard_and_where_the_clipboard_is_not_offered(shown):
    """Browsers offer the clipboard to pages over HTTPS alone; a page on a share is not."""
    records = example()
    tab = shown(records)
    tab.allow_clipboard()
    button = f'button[data-copy="{records[1]["sha256"]}"]'
    tab.ask("const clipboard = navigator.clipboard; window.read = () => clipboard.readText()")
    tab.ask("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    tab.ask(f"document.querySelector('{button}').focus()")
    tab.press("Enter", "\r")
    assert tab.wait_until(f"document.querySelector('{button}').textContent === 'Copied'")
    assert tab.ask("window.read()") == records[1]["sha256"]


def test_without_javascript_nothing_is_missing_but_the_buttons(shown):
    records = example()
    tab = shown(records, width=390, scripts=False)
    text = tab.ask("document.body.innerText")
    for each in records:
        assert each["sha256"] in text
        assert each["version"] in text
        assert (each["file"] in text) is (each["state"] == "published")
    for part in (
        "Apple silicon",
        "Intel",
        "GiB",
        "2026-11-20 09:30 UTC",
        "Withdrawn",
        "The VPN client does not start.",
    ):
        assert part in text
    assert tab.ask("[...document.querySelectorAll('button')].filter(b => b.offsetParent).length") == 0
    assert "Create Golden Image" not in text
    tab.click("summary")
    assert "Click Create Golden Image and enter the name" in tab.ask("document.body.innerText")
    # A click takes all of a checksum, to be copied by hand.
    tab.click("td code")
    assert tab.ask("getSelection().toString()") in [each["sha256"] for each in records]


@pytest.mark.parametrize("width", [320, 1280])
def test_those_who_listen_get_a_table_at_any_width(shown, width):
    tree = shown(example(), width=width).accessibility()
    roles = [role for role, _name in tree]
    assert roles.count("table") == 2
    assert roles.count("columnheader") == 2 * 7
    assert roles.count("rowheader") == 5
    assert roles.count("cell") == 5 * 6
    assert ("heading", "Contoso Windows 11 Pro") in tree
    assert ("columnheader", "SHA-256 checksum") in tree
    assert ("rowheader", "2026.11.0") in tree
    assert ("button", "Copy the SHA-256 checksum of windows11 2026.11.0 for Intel") in tree
    assert ("button", "Copy the download URL of windows11 2026.11.0 for Apple silicon") in tree
    assert ("link", "windows11-2026.11.0-arm64.pvmp") in tree
    assert all(name for role, name in tree if role in ("button", "link", "heading", "navigation", "columnheader"))


def test_what_is_clicked_is_large_enough(shown):
    tab = shown(example(), width=320)
    smallest = (
        "Math.min(...[...document.querySelectorAll('button, summary')].map(e => e.getBoundingClientRect())"
        ".flatMap(r => [r.width, r.height]))"
    )
    assert tab.ask(smallest) >= 24


def test_a_nasty_text_is_only_shown(shown):
    withdrawn = {"state": "withdrawn", "reason": NASTY, "withdrawn_at": "2026-11-23T08:00:00Z"}
    tab = shown([record("win11", "1.0", title=NASTY, description=NASTY, **withdrawn)], width=320)
    assert tab.ask("typeof window.struck") == "undefined"
    assert tab.ask("document.images.length + document.scripts.length") == 1
    assert tab.ask("document.querySelector('h2').textContent") == NASTY
    assert tab.ask("document.querySelector('.reason').textContent") == NASTY
    assert tab.ask(f"{TOO_FAR}(320)") == []
    assert tab.complaints() == []


def test_an_address_leads_to_its_place(shown):
    tab = shown(example(), width=390)
    tab.click('nav a[href="#image-windows11"]')
    assert tab.wait_until("location.hash === '#image-windows11'")
    top = "document.getElementById('image-windows11').getBoundingClientRect().top"
    assert tab.wait_until(f"{top} < innerHeight")
