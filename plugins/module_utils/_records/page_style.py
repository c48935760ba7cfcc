# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The style and the script of the catalog's web page."""

from __future__ import annotations

# One column of cards on a phone, a table on a wide screen.
STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f4f5f7; --card: #ffffff; --line: #d5d9e0; --ink: #1b1f27; --quiet: #545c69;
  --link: #0b57c2; --good: #14663a; --good-ground: #def3e6; --bad: #a01c2a; --bad-ground: #fbe4e6;
  --mark-ground: #e6eaf1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171c; --card: #1d2128; --line: #363c47; --ink: #e8eaee; --quiet: #a9b1be;
    --link: #8ab8ff; --good: #8fe0b0; --good-ground: #173425; --bad: #ffaab2; --bad-ground: #43191e;
    --mark-ground: #2d333e;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 92rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 0; }
p { margin: .25rem 0 0; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
header p, footer p, .name, .quiet, .caption { color: var(--quiet); }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .875em; }
details, section, .empty {
  background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem; margin-top: 1rem;
}
summary { cursor: pointer; font-weight: 600; }
ol { margin: .75rem 0 0; padding-inline-start: 1.5rem; }
li + li { margin-top: .25rem; }
nav ul { list-style: none; margin: 1rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
nav li { margin: 0; }
footer { margin-top: 1.5rem; font-size: .875rem; }
.described { white-space: pre-line; }
.mark {
  display: inline-block; padding: 0 .5rem; border-radius: .75rem; font-size: .875rem; font-weight: 600;
  background: var(--mark-ground); color: var(--ink);
}
.mark.good { background: var(--good-ground); color: var(--good); }
.mark.bad { background: var(--bad-ground); color: var(--bad); }
.reason { display: block; white-space: pre-line; }
td code { -webkit-user-select: all; user-select: all; }
table, thead, tbody, tr, th, td { display: block; text-align: start; font-weight: inherit; }
table { border-collapse: collapse; width: 100%; }
thead, .unseen {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
tbody tr { margin-top: 1rem; padding-top: .75rem; border-top: 1px solid var(--line); }
tbody th, td { display: grid; grid-template-columns: 8rem minmax(0, 1fr); gap: .5rem; padding: .25rem 0; }
tbody th { font-weight: 600; }
.caption { font-weight: 400; }
tr.withdrawn code { color: var(--quiet); }
button {
  font: inherit; font-size: .875rem; line-height: 1.25; min-height: 1.75rem; padding: .125rem .625rem;
  color: var(--link); background: transparent; border: 1px solid currentColor; border-radius: .5rem; cursor: pointer;
}
button[hidden] { display: none; }
@media (max-width: 24rem) {
  tbody th, td { grid-template-columns: minmax(0, 1fr); gap: 0; }
}
@media (min-width: 75rem) {
  table { display: table; table-layout: fixed; margin-top: .75rem; }
  thead { display: table-header-group; position: static; overflow: visible; clip-path: none; white-space: normal; }
  tbody { display: table-row-group; }
  tr { display: table-row; }
  th, tbody th, td { display: table-cell; vertical-align: top; padding: .625rem .5rem; }
  thead th { color: var(--quiet); font-weight: 600; font-size: .8125rem; }
  tbody td, tbody th { border-top: 1px solid var(--line); }
  thead th:nth-child(1) { width: 9%; }
  thead th:nth-child(2), thead th:nth-child(4) { width: 10%; }
  thead th:nth-child(3) { width: 12%; }
  thead th:nth-child(5) { width: 14%; }
  thead th:nth-child(6) { width: 27%; }
  th:first-child { padding-inline-start: 0; }
  .below { display: block; font-size: .875rem; }
  .caption { display: none; }
}
@media print {
  body { background: none; color: #000; }
  button { display: none; }
}
"""

SCRIPT = """
(function () {
  "use strict";
  var message = document.getElementById("copied");
  function copyOldWay(text) {
    var area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.appendChild(area);
    area.select();
    var done = document.execCommand("copy");
    area.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("refused"));
  }
  function copy(text) {
    if (!navigator.clipboard) { return copyOldWay(text); }
    return navigator.clipboard.writeText(text).catch(function () { return copyOldWay(text); });
  }
  document.querySelectorAll("button[data-copy]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      copy(button.dataset.copy).then(function () {
        button.textContent = "Copied";
        message.textContent = "Copied";
      }, function () {
        button.textContent = "Copy failed";
        message.textContent = "Copy failed. Select the text and copy it manually.";
      }).then(function () {
        button.focus();
        setTimeout(function () { button.textContent = "Copy"; message.textContent = ""; }, 2000);
      });
    });
  });
})();
"""
