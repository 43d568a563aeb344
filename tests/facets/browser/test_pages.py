"""Pages: loaded, read, used."""

from __future__ import annotations

import pytest

from facets import Actor, Egress
from facets.browser import Browser, Window
from facets.egress import Attempt
from facets.errors import (
    BrowserBusy,
    BrowserClosed,
    BrowserTooLarge,
    BrowserUnavailable,
    NoSuchElement,
    PageFailed,
    ScriptFailed,
)
from facets.testing import MemoryRuntime
from tests.facets.browser.conftest import Make, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")
ARTICLE = """<title>t</title><h1>An <i>octopus</i></h1><p>has <b>three</b> hearts.
<a href="/more">More</a><ul><li>one<li>two</ul><pre>x = 1
y = 2</pre><p style="display:none">hidden</p><script>document.body.append(' by script')</script>"""
FORM = """<form action="/answer" method="post"><input name="q"><button>Send</button></form>"""


async def test_a_page_is_read_as_text_and_as_markdown(window: Window, site: Site) -> None:
    page = await window.page()

    assert await page.goto(site.page("/article", ARTICLE)) == 200
    assert "has three hearts. More" in await page.text()
    assert await page.markdown() == (
        f"# An *octopus*\n\nhas **three** hearts. [More]({site.url('/more')})\n\n- one\n- two\n\n"
        "```\nx = 1\ny = 2\n```\n\nby script"
    )


async def test_a_form_is_filled_and_sent_and_scripts_answer(window: Window, site: Site) -> None:
    site.page("/answer", "<p>thanks")
    page = await window.page()
    await page.goto(site.page("/form", FORM))
    await page.fill("[name=q]", "octopus")
    assert await page.evaluate("document.querySelector('input').value") == "octopus"
    await page.click("text=Send")
    await page.wait_for("text=thanks")

    assert page.url == site.url("/answer")
    assert site.asked == ["site.test/form", "site.test/answer"]
    assert await page.evaluate("async () => ({a: [1, await 2]}) // as it is") == {"a": [1, 2]}


async def test_redirects_are_requests_of_their_own(
    window: Window, site: Site, attempts: list[Attempt]
) -> None:
    site.page("/there", "<p>there")
    page = await window.page()
    assert await page.goto(site.url('/there?a=|{}"<é#part', "other.test")) == 200
    attempts.clear()
    await page.goto(site.page("/here", "", 302, location=site.url("/there", "other.test")))

    assert page.url == site.url("/there", "other.test")
    assert [(one.url, one.status) for one in attempts] == [
        (site.url("/here"), 302), (site.url("/there", "other.test"), 200),
    ]  # fmt: skip


async def test_what_is_not_there_is_an_error_of_its_own(make: Make, site: Site) -> None:
    async with make(seconds=1, text=1000).open() as window:
        page = await window.page()
        await page.goto(site.page("/", "<p>x"))
        with pytest.raises(NoSuchElement, match="nothing that fits"):
            await page.click("#nothing")
        with pytest.raises(ScriptFailed, match="octopus is not defined"):
            await page.evaluate("octopus()")
        with pytest.raises(BrowserTooLarge, match="of at most 1000 bytes"):
            await page.evaluate("'x'.repeat(10000)")
        assert await page.goto(site.url("/missing")) == 404


async def test_a_download_is_given_to_the_host_and_not_to_the_browser(
    window: Window, site: Site
) -> None:
    url = site.page("/a", b"\0data", content_disposition='attachment; filename="../../a b.bin"')
    page = await window.page()
    await page.goto(site.page("/", f"<a href='{url}'>get</a>"))
    await page.click("text=get")
    with pytest.raises(PageFailed, match="is a download"):
        await page.goto(site.page("/zip", b"PK", content_type="application/zip"))

    found = window.downloads()
    assert [(one.name, one.content) for one in found] == [
        ("_.._a b.bin", b"\0data"),
        ("zip", b"PK"),
    ]
    assert window.downloads() == []


async def test_windows_share_no_cookies(make: Make, site: Site) -> None:
    url = site.page("/", "<p>x", set_cookie="a=1")
    browser = make()
    async with browser.open() as one, browser.open() as two:
        first, second = await one.page(), await two.page()
        await first.goto(url)
        site.page("/", "<p>x")
        await second.goto(url)

        assert await first.evaluate("document.cookie") == "a=1"
        assert await second.evaluate("document.cookie") == ""


async def test_as_many_windows_as_allowed_are_open(make: Make) -> None:
    browser = make()
    async with browser.open() as window:
        browser.windows = 1
        with pytest.raises(BrowserBusy, match="1 windows"):
            async with browser.open():
                pass
        browser.windows = 4
    with pytest.raises(BrowserClosed):
        await window.page()


class Reader(Actor):
    async def look(self, url: str) -> bytes:
        async with BROWSERS[0].open(self) as window:
            page = await window.page()
            await page.goto(url)
            return await page.screenshot("/seen.png")

    async def seen(self) -> bytes:
        return self.fs.read("/seen.png")


BROWSERS: list[Browser] = []


async def test_an_actor_keeps_a_picture_in_its_files(
    make: Make, site: Site, attempts: list[Attempt]
) -> None:
    BROWSERS[:] = [make()]
    async with MemoryRuntime() as runtime:
        reader = runtime.get(Reader, "one")
        picture = await reader.look(site.page("/", "<p>x"))

        assert picture.startswith(b"\x89PNG")
        assert await reader.seen() == picture
    assert [one.who for one in attempts] == ["Reader:one: browser"]


async def test_without_chromium_the_error_says_what_to_install() -> None:
    with pytest.raises(BrowserUnavailable, match="apt-get install chromium-headless-shell"):
        async with Browser(Egress(), program="/nowhere/chromium").open():
            pass
