"""A real browser for the tests of pages: Chromium without a window."""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = 360
"""Pixels; the width of a small telephone."""


class Browser:
    """Chromium, as a person would use it."""

    def __init__(self, profile: Path, folder: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = _program("chromium")
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if os.geteuid() == 0:  # Chromium's own sandbox refuses root
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # A driver that is named is not looked for, nor fetched.
        service = webdriver.ChromeService(_program("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.folder = folder

    def command(self, name: str, **arguments: object) -> Any:
        """Send a command of the Chrome DevTools Protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def show(
        self, page: str, *, width: int = 1280, media: str = "screen", scheme: str = "light"
    ) -> None:
        """Open *page*, in a window of this *width*, on this medium, in this colour scheme."""
        self.look(width=width, media=media, scheme=scheme)
        path = self.folder / "page.html"
        path.write_text(page, encoding="utf-8")
        self.driver.get(path.as_uri())

    def look(self, *, width: int = 1280, media: str = "screen", scheme: str = "light") -> None:
        """Have a window of this *width*, on this medium, in this colour scheme."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width == PHONE,
        )
        self.command(
            "Emulation.setEmulatedMedia",
            media=media,
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def run(self, script: str, *arguments: object) -> Any:
        """Return what a JavaScript function body returns."""
        return self.driver.execute_script(script, *arguments)

    def one(self, selector: str) -> WebElement:
        """Return the element that a CSS selector finds first."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def column(self, number: int) -> list[str]:
        """Return the words of a column of the students' table, of the rows that are shown."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll('#students tbody tr')]"
            ".filter(row => row.checkVisibility())"
            ".map(row => row.cells[arguments[0]].firstChild?.textContent ?? '')",
            number,
        )
        return found

    def errors(self) -> list[str]:
        """Return what the browser complained of since it was asked last."""
        return [line["message"] for line in self.driver.get_log("browser")]

    def pdf(self) -> bytes:
        """Print the page."""
        self.command("Emulation.setEmulatedMedia", media="", features=[])
        return base64.b64decode(self.driver.print_page())


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"There is no {name} on this host: run tools/setup.sh dev."
    return found
