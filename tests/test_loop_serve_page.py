"""The page, by clicking through it in a headless Chromium."""

import shutil
import zipfile

import pytest
from serving import live

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
SMALL = """
[loop]
probes = 0
[execution]
umap = false
workers = 1
"""


@pytest.fixture
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser):
    """A page that must say nothing of errors in its console, and ask nobody but the server."""
    opened, wrong, asked = browser.new_page(viewport={"width": 1200, "height": 900}), [], []
    opened.set_default_timeout(90_000)
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    assert not wrong
    assert all(url.startswith(("http://127.0.0.1:", "data:", "blob:")) for url in asked)


def narrow(page):
    """Nothing of a page is wider than a telephone."""
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.set_viewport_size({"width": 1200, "height": 900})


def test_a_campaign_from_the_form_to_its_dossier(page, tmp_path):
    """Refused, mended, started, watched, opened, downloaded."""
    with live(tmp_path) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        assert "No campaign here yet" in page.inner_text("main")
        narrow(page)
        page.click("text=Start the first one")
        page.fill("[name=name]", "by-hand")
        page.fill("[name=words]", "kxx = 0.9, kyy = 0.2")
        page.wait_for_selector(".verdict.bad:has-text('out of reach')")
        assert page.is_disabled("button[form=new]")
        box, edge = (page.locator(f"#regions .{name}").bounding_box() for name in ("box", "whole"))
        assert box["x"] > edge["x"] + 0.8 * edge["width"]
        assert box["y"] > edge["y"] + 0.5 * edge["height"], "right of and below what can be reached"
        page.fill("[name=words]", "")
        page.click("text=kxx = 0.3 ± 1 %")
        page.fill("[name=designs]", "2")
        page.wait_for_selector(".verdict.good")
        narrow(page)
        page.click("text=Edit as TOML")
        written = page.input_value("[name=toml]")
        assert "kxx = { min = 0.297, max = 0.303 }" in written
        page.fill("[name=toml]", written.replace("[budget]", "[budget]\nprobes = 0") + SMALL)
        page.wait_for_selector(".verdict.good")
        page.click("button[form=new]")
        page.wait_for_url("**/campaigns/by-hand")
        page.wait_for_selector("#top .state.done")
        page.wait_for_selector("a.card:nth-child(2) img")
        narrow(page)
        page.click("a.card")
        page.wait_for_selector("text=confirmed by interval")
        own = next((tmp_path / "by-hand" / "designs").iterdir())
        narrow(page)
        shown = page.evaluate("document.querySelector('.big img').naturalWidth")
        assert shown > 0
        page.click("[aria-label='Next design']")
        page.click("[aria-label='Design before']")
        with page.expect_download() as waited:
            page.click("text=Download dossier")
        assert waited.value.suggested_filename == f"by-hand-{page.inner_text('h1')}.zip"
        own = tmp_path / "by-hand" / "designs" / page.inner_text("h1")
        with zipfile.ZipFile(waited.value.path()) as archive:
            found = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
        assert found == {str(path.relative_to(own)): path.read_bytes() for path in own.rglob("*") if path.is_file()}


def test_a_report_stands_in_a_frame_that_reaches_nothing(page, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "whole")
    with live(tmp_path, token="a-token-of-sixteen-or-more") as port:
        page.goto(f"http://127.0.0.1:{port}/campaigns/whole?token=a-token-of-sixteen-or-more")
        assert "token" not in page.url
        page.click("text=Report")
        frame = page.frame_locator("iframe.report")
        assert "designs confirmed by simulation" in frame.locator(".verdict").inner_text()
        assert page.frames[1].evaluate("self.origin") == "null"
        tried = "fetch('/api/campaigns').then(() => 'reached', () => 'kept out')"
        assert page.evaluate(tried) == "reached"
        (tmp_path / "evil.html").write_text(f"<script>{tried}.then((word) => document.title = word)</script>")
        shutil.copy(tmp_path / "evil.html", tmp_path / "whole" / "report.html")
        alone = page.context.browser.new_context().new_page()
        alone.goto(f"http://127.0.0.1:{port}/?token=a-token-of-sixteen-or-more")
        alone.goto(f"http://127.0.0.1:{port}/api/campaigns/whole/report.html")
        alone.wait_for_function("document.title")
        assert alone.title() == "kept out"
