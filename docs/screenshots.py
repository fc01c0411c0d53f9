"""Screenshots of the page for README and docs: python docs/screenshots.py MODEL.

Needs what tests/test_space_browser.py needs (selenium, Debian's chromium and chromium-driver), and
a model with a map, such as a run of the quickstart.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browsing import Visitor, missing, serving  # noqa: E402
from PIL import Image  # noqa: E402


def save(visitor: Visitor, name: str, width: int, height: int) -> None:
    """The page from its top, in at most 256 colours."""
    visitor.size(width, height)
    visitor.run("window.scrollTo(0, 0); document.activeElement.blur()")
    visitor.until(lambda: not visitor.visible(".generating"))
    picture = Image.open(io.BytesIO(visitor.driver.get_screenshot_as_png())).convert("RGB")
    picture.quantize(256, method=Image.Quantize.MEDIANCUT).save(DOCS / name, optimize=True)
    visitor.size(1280)


def main() -> None:
    """Walk the tabs and take a picture of each."""
    if fault := missing():
        sys.exit(fault)
    with tempfile.TemporaryDirectory() as folder, serving(sys.argv[1], Path(folder) / "log") as url:
        visitor = Visitor(url, Path(folder) / "downloads")
        try:
            walk(visitor)
        finally:
            visitor.driver.quit()


def walk(visitor: Visitor) -> None:
    """Each tab, in the state a visitor leaves it in."""

    def finished() -> None:
        visitor.until(lambda: visitor.visible(".downloads button") and visitor.texts(".permalink"))

    visitor.open("?__theme=dark")
    visitor.fill("Number of designs", "4")
    visitor.press("Generate")
    finished()
    save(visitor, "space-phone.png", 390, 1200)
    save(visitor, "space-dark.png", 1280, 1000)

    visitor.open("?__theme=light")
    visitor.press("Generate")
    finished()
    save(visitor, "space-generate.png", 1280, 1000)
    save(visitor, "space-phone-light.png", 390, 1200)
    for tab, button, name, height in (
        ("Redesign", "Redesign", "space-redesign.png", 1000),
        ("Optimise", "Optimise", "space-optimise.png", 1000),
        ("Score", "Score", "space-score.png", 1480),
    ):
        visitor.tab(tab)
        visitor.press("trastuzumab VH")
        if tab == "Redesign":
            visitor.until(lambda: visitor.visible("#editor button"))
        visitor.press(button)
        finished()
        save(visitor, name, 1280, height)
    visitor.tab("Latent map")
    visitor.press("trastuzumab VH")
    visitor.press("Draw the map")
    visitor.until(lambda: visitor.visible(".scatter"))
    save(visitor, "space-map.png", 1280, 1000)


if __name__ == "__main__":
    main()
