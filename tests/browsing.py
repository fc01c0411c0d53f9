"""The page of the Space in Chromium, as a visitor has it: its server, and what to see and press."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPO = Path(__file__).parent.parent
SECONDS = 90  # for whatever a visitor waits for, on a machine that does other things too

# Elements that can be pressed or filled in and that a visitor sees.
CONTROLS = """
return [...document.querySelectorAll('input, button, textarea, select, [tabindex="0"]')]
  .filter(e => e.checkVisibility() && e.getClientRects().length)
  .filter(e => !e.closest('[aria-hidden=true]'));
"""
# WCAG 2.2, success criterion 1.4.3 and the definitions of contrast ratio and relative luminance:
# of each visible text that is not disabled, where it is below 4.5.
CONTRAST = """
const numbers = s => { const n = s.match(/[\\d.]+/g).map(Number);
  const unit = s.startsWith('color(') ? 255 : 1;
  return [n[0] * unit, n[1] * unit, n[2] * unit, n[3] ?? 1]; };
const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat([1]);
const luminance = c => [.2126, .7152, .0722].reduce((sum, weight, i) => { const v = c[i] / 255;
  return sum + weight * (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); }, 0);
const ground = e => { const stack = [];
  for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor);
    if (c[3] > 0) stack.push(c); if (c[3] === 1) break; }
  return stack.reverse().reduce((below, c) => over(c, below), [255, 255, 255, 1]); };
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = [];
let seen = 0;
while (texts.nextNode()) {
  const text = texts.currentNode.data.trim(), e = texts.currentNode.parentElement;
  if (!text || !e.getClientRects().length) continue;
  if (e.closest(':disabled, [aria-hidden=true], style, script')) continue;
  if (!e.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  const below = ground(e), ink = over(numbers(getComputedStyle(e).color), below);
  const [light, dark] = [luminance(below), luminance(ink)].sort((a, b) => b - a);
  const ratio = (light + .05) / (dark + .05);
  seen += 1;
  if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${text.slice(0, 40)}`);
}
return [seen, faint];
"""
# Everything that designs look like while they are made, from now on.
WATCH = """
window.seen = [];
new MutationObserver(() => {
  const rows = [...document.querySelectorAll('ol.making li')].map(e => e.textContent);
  if (rows.length) window.seen.push(rows);
}).observe(document.body, {childList: true, subtree: true});
"""


def missing() -> str:
    """What of a browser, its driver and selenium is not there, in words; empty if all are."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed: pip install 'hfbio[dev]'"
    for name, package in (("chromium", "chromium"), ("chromedriver", "chromium-driver")):
        if not shutil.which(name):
            return f"{name} is not installed: apt-get install {package}"
    return ""


@contextmanager
def serving(model: Path | str, log: Path) -> Iterator[str]:
    """The address of a page of a model, which ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "HFBIO_MODEL": str(model),
        "HF_HUB_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
    }
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, str(REPO / "space" / "app.py")]
    with log.open("w") as file:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=file, stderr=file)
        try:
            deadline = time.monotonic() + SECONDS
            while True:
                try:
                    urllib.request.urlopen(url, timeout=5).close()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=30)


class Visitor:
    """One visitor with one window."""

    def __init__(self, url: str, downloads: Path) -> None:
        """Start Chromium; ``downloads`` is where its files go."""
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
            options.add_argument(f"--{flag}")
        options.binary_location = str(shutil.which("chromium"))
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        self.driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        self.url, self.downloads = url, downloads
        downloads.mkdir(exist_ok=True)
        self.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
        )
        self.size(1280)

    def size(self, width: int, height: int = 900) -> None:
        """Make the window a desktop's or a phone's."""
        told = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", told)

    def open(self, query: str = "") -> None:
        """Load the page and wait until it can be used."""
        self.driver.get("about:blank")
        self.driver.get(self.url + query)
        self.until(lambda: self.visible('[role="tabpanel"] button.primary'))

    def until(self, met: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Wait until something is there, and give it."""
        from selenium.common import exceptions
        from selenium.webdriver.support.ui import WebDriverWait

        ignored = [  # it was drawn anew, or moved, in between
            exceptions.StaleElementReferenceException,
            exceptions.ElementClickInterceptedException,
            exceptions.ElementNotInteractableException,
        ]
        wait = WebDriverWait(self.driver, seconds, 0.05, ignored_exceptions=ignored)
        return wait.until(lambda _: met())

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script of the page's own world returns."""
        return self.driver.execute_script(script, *arguments)

    def visible(self, css: str) -> list[Any]:
        """Elements that are shown."""
        shown = "e => e.checkVisibility() && e.getClientRects().length"
        return self.run(f"return [...document.querySelectorAll(arguments[0])].filter({shown})", css)

    def texts(self, css: str) -> list[str]:
        """What visible elements say; read at once, so that none is replaced half way."""
        shown = "e => e.checkVisibility() && e.getClientRects().length"
        script = f"return [...document.querySelectorAll(arguments[0])].filter({shown})"
        return self.run(script + ".map(e => e.textContent.trim())", css)

    def tab(self, name: str) -> None:
        """Go to a tab, through the menu of those that do not fit where there is one."""
        self.until(lambda: self.pressed('button[role="tab"]', name) or self._unfolded(name))
        self.until(lambda: self.visible('[role="tabpanel"]'))

    def press(self, name: str) -> None:
        """Press a button by what it says."""
        self.until(lambda: self.pressed('[role="tabpanel"] button, [role="tabpanel"] a', name))

    def pressed(self, css: str, name: str) -> bool:
        """Press what has a name, if it is there yet."""
        button = self.run(
            """const found = [...document.querySelectorAll(arguments[0])].find(e =>
              e.innerText.trim().split('\\n')[0] === arguments[1] && !e.disabled &&
              e.checkVisibility() && e.getClientRects().length && !e.closest('[aria-hidden=true]'));
            found?.scrollIntoView({block: 'center'}); return found;""",
            css,
            name,
        )
        if button:
            button.click()
        return bool(button)

    def _unfolded(self, name: str) -> bool:
        for menu in self.visible(".overflow-menu > button"):
            menu.click()
        return self.pressed(".overflow-dropdown button", name)

    def field(self, label: str) -> Any:
        """The field with a label; of a slider the box with its number."""
        names = (label, f"number input for {label}")
        return self.until(
            lambda: next(
                (e for e in self.visible("input, textarea") if e.accessible_name.startswith(names)),
                None,
            )
        )

    def fill(self, label: str, text: str) -> None:
        """Replace what a field holds; a choice is taken by Enter."""
        from selenium.webdriver.common.keys import Keys

        field = self.field(label)
        self.run("arguments[0].scrollIntoView({block: 'center'})", field)
        if field.tag_name == "textarea" and field.get_attribute("rows") != "1":
            # As a paste does it: at once.
            self.run(
                "const e = arguments[0], set = Object.getOwnPropertyDescriptor("
                "HTMLTextAreaElement.prototype, 'value').set; e.focus(); set.call(e, arguments[1]);"
                "e.dispatchEvent(new Event('input', {bubbles: true}));",
                field,
                text,
            )
            return
        field.click()
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.NULL, text)
        field.send_keys(Keys.ENTER if field.aria_role == "combobox" else Keys.TAB)

    def status(self) -> str:
        """The line above the results."""
        return " ".join(self.texts(".status"))

    def download(self, name: str) -> str:
        """Press a download button; what is in the file that comes."""
        for old in self.downloads.iterdir():
            old.unlink()
        self.press(name)

        def done() -> list[Path]:
            found = list(self.downloads.iterdir())
            return [] if any(path.suffix == ".crdownload" for path in found) else found

        (path,) = self.until(done)
        return path.read_text(encoding="utf-8")

    def requested(self) -> list[str]:
        """Addresses that were asked for since this was last asked."""
        events = (
            json.loads(row["message"])["message"] for row in self.driver.get_log("performance")
        )
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]
