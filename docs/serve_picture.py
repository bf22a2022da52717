"""Makes docs/serve.png: the form of `janus-al serve`, filled in, as a headless Chromium shows it.

python docs/serve_picture.py
"""

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("serve.png")
PORT = 18767
TARGETS = ("kxx = 0.3 ± 1 %, volume_fraction <= 0.5", "max kyy, kxx >= 0.2, volume_fraction <= 0.4")


def main() -> None:
    """Serve an empty folder, fill the form, take its picture."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, "-m", "loop.commands.main", "serve", folder, "--port", str(PORT)]
        page_of = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert page_of.stdout is not None
            address = page_of.stdout.readline().strip()
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.goto(f"{address}new")
            page.fill("[name=name]", "heat-spreader")
            page.click("#another")
            for number, words in enumerate(TARGETS):
                page.locator("[name=words]").nth(number).fill(words)
            page.wait_for_selector("#regions figure:nth-child(2)")
            page.wait_for_selector("#plan h2", timeout=120_000)
            page.locator("h1").click()
            shot = Image.open(io.BytesIO(page.screenshot(full_page=True)))
            browser.close()
        finally:
            page_of.terminate()
            page_of.wait()
    shot.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(PICTURE.name, shot.size)


if __name__ == "__main__":
    main()
