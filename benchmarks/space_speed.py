"""How long a visitor waits: python benchmarks/space_speed.py MODEL [--times 5].

Loads the page in Chromium with an empty cache, until the button that designs is there and enabled;
then presses it, until the first state of designs that fill in is on the page. Both in seconds of
this machine; both should stay at 3 or below on two cores with a bundled base.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browsing import Visitor, missing, serving

READY = "const b = document.querySelector('#generate'); return b?.checkVisibility() && !b.disabled"
# The moment at which residues, not dots alone, are on the page; after the picture is drawn.
FIRST = """
const done = arguments[arguments.length - 1], start = performance.now();
const look = () => /[A-Z]/.test(document.querySelector('ol.making')?.textContent ?? '')
  ? requestAnimationFrame(() => done((performance.now() - start) / 1000)) : setTimeout(look, 10);
document.querySelector('#generate').click();
look();
"""


def measure(visitor: Visitor) -> tuple[float, float]:
    """Seconds until the page can be used, and from the click to the first designs."""
    visitor.driver.get("about:blank")
    visitor.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    start = time.perf_counter()
    visitor.driver.get(visitor.url)
    visitor.until(lambda: visitor.run(READY))
    interactive = time.perf_counter() - start
    first = visitor.driver.execute_async_script(FIRST)
    visitor.until(lambda: visitor.visible(".downloads button"))
    return interactive, first


def main() -> None:
    """Measure, and print each time and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    if fault := missing():
        sys.exit(fault)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "page.log"
        with serving(asked.model, log) as url:
            visitor = Visitor(url, Path(folder) / "downloads")
            try:
                found = [measure(visitor) for _ in range(asked.times)]
            finally:
                visitor.driver.quit()
    for name, seconds in zip(("interactive", "first design"), zip(*found)):
        each = ", ".join(f"{value:.2f}" for value in seconds)
        print(f"{name}: median {median(seconds):.2f} s of {each}")


if __name__ == "__main__":
    main()
