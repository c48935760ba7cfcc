# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the pictures of the page of a catalog that are in the documentation: docs/images/page-*.png."""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from support.catalog_page import example, load_page  # noqa: E402
from support.chromium import Chromium  # noqa: E402

LOOKS = {
    "desktop": {"width": 1200, "height": 760},
    "dark": {"width": 1200, "height": 760, "dark": True},
    "phone": {"width": 390, "height": 720},
}


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", type=pathlib.Path, required=True, help="folder that holds ansible_collections")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Chromium() as browser:
        page = pathlib.Path(folder) / "index.html"
        page.write_bytes(load_page(options.collections).catalog_page(example()))
        for name, look in LOOKS.items():
            with browser.tab(**look) as tab:
                tab.open(page.as_uri())
                tab.picture(options.output / f"page-{name}.png")


if __name__ == "__main__":
    main()
