"""Pages that want out of their browser, or more than they may have."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from facets import Egress
from facets.browser import Browser, Window
from facets.egress import Attempt, Budget
from facets.errors import (
    BrowserBusy,
    BrowserFailed,
    BrowserMemory,
    BrowserTimeout,
    PageFailed,
    PageRefused,
    RequestBudget,
    ScriptFailed,
)
from facets.sandbox.broker import descendants
from tests.facets.browser.conftest import Make, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_page_that_no_rule_allows_is_not_asked_for(window: Window, site: Site) -> None:
    page = await window.page()
    with pytest.raises(PageRefused, match="no rule names this host"):
        await page.goto(f"http://127.0.0.1:{site.port}/")
    for url in (
        "file:///etc/passwd",
        "chrome://version",
        "view-source:http://site.test",
        "about:x",
    ):
        with pytest.raises(PageRefused, match="not a page of the web"):
            await page.goto(url)

    assert site.asked == []


async def test_a_redirect_to_a_private_address_is_refused(window: Window, site: Site) -> None:
    page = await window.page()
    for number, target in enumerate((f"http://127.0.0.1:{site.port}/secret",
                                     site.url("/secret", "open.test"),
                                     "http://169.254.169.254/latest")):  # fmt: skip
        with pytest.raises(PageRefused):
            await page.goto(site.page(f"/{number}", "", 302, location=target))

    assert site.asked == ["site.test/0", "site.test/1", "site.test/2"]


async def test_a_page_reaches_nobody_that_the_rules_do_not_name(
    window: Window, site: Site, attempts: list[Attempt]
) -> None:
    hits: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hits.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    other = f"127.0.0.1:{port}"
    site.page("/worker.js", f"fetch('http://{other}/worker')", content_type="text/javascript")
    body = f"""<img src="http://{other}/img"><iframe src="http://{other}/frame"></iframe>
        <link rel=prefetch href="http://{other}/pre"><link rel=preconnect href="http://{other}">
        <form id=f method=post target=_blank action="http://{other}/form"></form>
        <script>
        new Worker('/worker.js'); navigator.sendBeacon('http://{other}/beacon', 'x');
        const done = [fetch('http://{other}/fetch').catch(() => 0)];
        done.push(new Promise(end => {{ const s = new WebSocket('ws://{other}/ws');
            s.onclose = s.onerror = end; setTimeout(end, 500);
            s.onopen = () => {{ document.title = 'open' }} }}));
        done.push(new Promise(end => {{ const p = new RTCPeerConnection(
            {{iceServers: [{{urls: 'turn:{other}?transport=tcp', username: 'a',
                           credential: 'b'}}]}});
            setTimeout(end, 500); p.createDataChannel('x');
            p.createOffer().then(o => p.setLocalDescription(o));
            p.onicegatheringstatechange = () => p.iceGatheringState === 'complete' && end() }}));
        f.submit();
        window.done = Promise.all(done).then(() => 'over');
        </script>"""
    page = await window.page()
    async with server:
        await page.goto(site.page("/", body))
        assert await page.evaluate("window.done") == "over"

    assert hits == []
    assert {one.url.partition(other)[2] for one in attempts} >= {
        "/img", "/frame", "/beacon", "/fetch",
    }  # fmt: skip
    assert all("no rule names this host" in one.reason for one in attempts if other in one.url)


async def test_a_page_cannot_lead_to_files_or_to_the_browser_itself(
    window: Window, site: Site
) -> None:
    page = await window.page()
    body = """<iframe id=f src="file:///etc/passwd"></iframe><script>
        const tries = ['file:///etc/passwd', 'chrome://version', 'devtools://devtools/x.html'];
        window.done = Promise.all(tries.map(url => fetch(url).then(r => r.text(), () => 'no')));
        for (const url of tries) try { location = url } catch (e) {}
        </script>"""
    await page.goto(site.page("/", body))

    assert await page.evaluate("window.done") == ["no"] * 3
    assert page.url == site.url("/")
    assert await page.evaluate(
        "() => { try { return f.contentDocument.body.innerText } catch (e) { return '' } }"
    ) == ""  # fmt: skip


async def test_popups_are_no_more_than_pages_may_be(make: Make, site: Site) -> None:
    body = "<button onclick='for (let n = 0; n < 5; n++) window.open(\"/p\" + n)'>go</button>"
    async with make(pages=3, seconds=5).open() as window:
        page = await window.page()
        await page.goto(site.page("/", body))
        for _ in range(2):
            await page.click("text=go")
        await page.evaluate("new Promise(end => setTimeout(end, 200))")

        assert len(window.pages) <= 3
        while len(window.pages) < 3:
            await window.page()
        with pytest.raises(BrowserBusy):
            await window.page()
        assert await page.evaluate("1 + 1") == 2


async def test_a_page_that_never_ends_is_closed_and_the_window_goes_on(
    make: Make, site: Site
) -> None:
    async with make(seconds=1).open() as window:
        page = await window.page()
        with pytest.raises(BrowserTimeout):
            await page.goto(site.page("/spin", "<script>while (1);</script>"))
        page = await window.page()
        with pytest.raises(BrowserTimeout) as caught:
            await page.goto(site.url("/never"))
        assert isinstance(caught.value, TimeoutError)
        assert window.pages == []

        page = await window.page()
        assert await page.goto(site.page("/", "<p>on")) == 200


async def test_alerts_and_questions_hold_nothing_up(window: Window, site: Site) -> None:
    page = await window.page()
    body = "<script>alert(1); confirm(2); onbeforeunload = () => 'stay'; print()</script><p>on"
    await page.goto(site.page("/", body))

    assert await page.text() == "on"
    assert await page.goto(site.page("/next", "<p>next")) == 200


async def test_an_answer_over_its_size_is_not_loaded(window: Window, site: Site) -> None:
    page = await window.page()
    with pytest.raises(PageFailed, match="larger than 1048576 bytes"):
        await page.goto(site.page("/", b"x" * (2 << 20)))


async def test_requests_and_downloads_without_end_meet_the_budget(make: Make, site: Site) -> None:
    site.page("/d", b"x" * 1000, content_type="application/zip")
    body = """<script>(async () => { for (;;) { await fetch('/x').catch(() => 0);
        const frame = document.createElement('iframe'); frame.src = '/d';
        document.body.append(frame);
        await new Promise(end => setTimeout(end, 1)); } })()</script><p>x"""
    async with make(Budget(requests=30), downloads=5).open() as window:
        page = await window.page()
        await page.goto(site.page("/", body))
        async with asyncio.timeout(20):
            while len(site.asked) < 30:
                await asyncio.sleep(0.01)
        with pytest.raises(RequestBudget):
            await page.goto(site.url("/"))

        assert len(site.asked) == 30
        assert len(window.downloads()) == 5


async def test_a_page_that_takes_too_much_memory_ends_its_window(make: Make, site: Site) -> None:
    body = """<p>x<script>const held = []; setTimeout(() => setInterval(() => {
        if (held.length < 40) held.push(new Uint8Array(16 << 20).fill(1)) }, 1), 50)</script>"""
    async with make(memory=450 << 20, seconds=20).open() as window:
        page = await window.page()
        await page.goto(site.page("/", body))
        with pytest.raises(BrowserMemory):
            await page.evaluate("new Promise(() => 0)")
        with pytest.raises(BrowserMemory):
            await window.page()


async def test_a_page_that_changes_what_scripts_are_made_of_gives_no_wrong_data(
    window: Window, site: Site
) -> None:
    page = await window.page()
    body = "<script>JSON.stringify = () => 'x'.repeat(1e8); Array.prototype.map = 0</script><p>x"
    await page.goto(site.page("/", body))
    with pytest.raises(Exception, match="of at most"):
        await page.evaluate("1")
    await page.goto(site.page("/", "<script>JSON.stringify = () => ({length: 1})</script><p>x"))
    with pytest.raises(ScriptFailed):
        await page.evaluate("1")


async def test_chromium_is_another_user_without_a_network_and_in_its_own_sandbox(
    window: Window, site: Site
) -> None:
    await (await window.page()).goto(site.page("/", "<p>x"))
    root = window._root()
    found = {pid: line for pid in descendants(root) if (line := command(pid)).startswith("/usr")}
    renderers = [pid for pid, line in found.items() if "--type=renderer" in line]

    assert renderers
    assert not [line for line in found.values() if "--no-sandbox" in line]
    assert all(namespace(pid, "net") != namespace(os.getpid(), "net") for pid in found)
    assert not [pid for pid in found if "home" in root_of(pid)]
    assert namespace(min(found), "user") not in {namespace(pid, "user") for pid in renderers}


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def root_of(pid: int) -> list[str]:
    try:
        return [path.name for path in Path(f"/proc/{pid}/root").iterdir()]
    except OSError:
        return []


def namespace(pid: int, kind: str) -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


async def test_a_window_that_nobody_waits_for_is_ended(
    available: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    async with Browser(Egress()) as browser:
        async with browser.open():
            pass
        (driver,) = children() - before
        launched, up, go = browser._launched, asyncio.Event(), asyncio.Event()

        async def slowly(script: Path) -> Any:
            chromium = await launched(script)
            up.set()
            await go.wait()
            return chromium

        monkeypatch.setattr(browser, "_launched", slowly)
        task = asyncio.create_task(browser.open().__aenter__())
        async with asyncio.timeout(15):
            await up.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert descendants(driver)
            go.set()
            while descendants(driver):
                await asyncio.sleep(0.01)


async def test_a_driver_that_died_is_started_again(site: Site, available: None) -> None:
    before = children()
    async with Browser(Egress()) as browser:
        async with browser.open():
            pass
        (driver,) = children() - before
        os.kill(driver, signal.SIGKILL)
        with pytest.raises(BrowserFailed, match="driver"):
            async with browser.open():
                pass
        async with browser.open() as window:
            assert await (await window.page()).evaluate("1 + 1") == 2


def children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


CHILD = """
import asyncio
from facets import Egress
from facets.browser import Browser
async def main():
    async with Browser(Egress()).open() as window:
        page = await window.page()
        print(window._root(), flush=True)
        await asyncio.sleep(1000)
asyncio.run(main())
"""


@pytest.mark.usefixtures("available")
async def test_no_browser_outlives_a_host_that_was_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        root = int(await asyncio.to_thread(child.stdout.readline))
        os.kill(root, 0)
        child.send_signal(signal.SIGKILL)
        await asyncio.to_thread(child.wait)
        async with asyncio.timeout(15):
            while Path(f"/proc/{root}").exists():
                await asyncio.sleep(0.01)
