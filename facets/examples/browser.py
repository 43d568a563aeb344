"""A page in a browser, read and used for an actor; every request of it passes an Egress.

Needs `pip install 'facets-runtime[browser]'` and Chromium; says so where it cannot run. Here a
function answers in the place of the network; a real one is `Egress([Rule("*.example.org")])`.
"""

import asyncio

from facets import Actor, Egress, LocalRuntime
from facets.browser import Browser
from facets.egress import Request, Response
from facets.errors import BrowserUnavailable, PageRefused

PAGE = b"""<h1>Hearts</h1><p id=p>An octopus has <b>how many</b>?</p>
<button onclick="fetch('/hearts').then(r => r.text()).then(t => p.innerText = t)">Ask</button>"""


async def web(request: Request) -> Response:
    """All of the web that there is."""
    print("asked for:", request.method, request.url)
    if request.url == "https://octopus.example/":
        return Response(200, (("content-type", "text/html"),), PAGE)
    if request.url == "https://octopus.example/hearts":
        return Response(200, (("content-type", "text/plain"),), b"An octopus has three.")
    raise PermissionError(request.url)


BROWSER = Browser(Egress(handler=web))


class Reader(Actor):
    """Reads pages, and keeps what they look like."""

    async def read(self, url: str) -> str:
        """Read a page, press its button, read it again."""
        async with BROWSER.open(self) as window:
            page = await window.page()
            await page.goto(url)
            before = await page.markdown()
            await page.click("text=Ask")
            await page.wait_for("text=three")
            await page.screenshot("/seen.png")
            return f"{before}\n\nafterwards: {await page.text()}"


async def main() -> None:
    """Read a page that may be read, and one that may not."""
    async with LocalRuntime("state/") as runtime, BROWSER:
        reader = runtime.get(Reader, "octopus")
        try:
            print(await reader.read("https://octopus.example/"))
            await reader.read("http://169.254.169.254/latest/meta-data")
        except BrowserUnavailable as error:
            print(f"no browser on this machine: {error}")
        except PageRefused as error:
            print(error)


if __name__ == "__main__":
    asyncio.run(main())
