"""A page in headless Chromium, driven as a person drives it: by keys and by the width of the window.

It speaks the DevTools protocol, over aiohttp, which gcsfs and s3fs bring.
"""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

CODES = {"Tab": 9, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}


def chromium():
    """The program, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def opened(profile):
    """A Page; skips the test where there is no browser.

    Args:
        profile: Path of a folder for the browser's own files, which is made.
    """
    if chromium() is None:
        pytest.skip("no Chromium is installed")
    aiohttp = pytest.importorskip("aiohttp", reason="mpl-tf[s3] or mpl-tf[gcs], which bring aiohttp, is not installed")
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    process, loop = subprocess.Popen(command, **quiet), asyncio.new_event_loop()
    try:
        port, ends = profile / "DevToolsActivePort", time.monotonic() + 60
        while not (port.exists() and port.read_text().count("\n")):
            assert process.poll() is None and time.monotonic() < ends, "Chromium does not start"
            time.sleep(0.05)
        page = Page(loop, aiohttp, port.read_text().split()[0])
        try:
            yield page
        finally:
            page.close()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        loop.close()


class Page:
    """The browser's one page.

    Attributes:
        faults: list of what the page's scripts and the browser complained of.
        requests: list of the URLs that were asked for.
    """

    def __init__(self, loop, aiohttp, port):
        self._loop, self._number, self.faults, self.requests, self._seen = loop, 0, [], [], set()
        self._loop.run_until_complete(self._connect(aiohttp, port))
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    async def _connect(self, aiohttp, port):
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            (about,) = [one for one in await answer.json() if one["type"] == "page"]
        self._socket = await self._session.ws_connect(about["webSocketDebuggerUrl"], max_msg_size=0)

    def ask(self, method, **values):
        """What a command of the protocol gives, dict."""
        self._number += 1
        return self._loop.run_until_complete(self._ask(self._number, method, values))

    async def _ask(self, number, method, values):
        await self._socket.send_json({"id": number, "method": method, "params": values})
        while (told := await self._next()).get("id") != number:
            pass
        assert "error" not in told, told
        return told["result"]

    async def _next(self):
        told = json.loads((await asyncio.wait_for(self._socket.receive(), 60)).data)
        values = told.get("params", {})
        self._seen.add(told.get("method"))
        if told.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.faults.append(values)
        if told.get("method") == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        return told

    def go(self, url, width=1280, height=1000):
        """Open a URL in a window of that size, pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self._seen.clear()
        self.ask("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._seen:
            self._loop.run_until_complete(self._next())

    def value(self, expression):
        """What an expression of JavaScript gives, as JSON has it."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key, times=1):
        """Press a key of CODES, or type the characters of a text."""
        for one in [key] * times if key in CODES else key:
            text = {"text": one} if len(one) == 1 else {}
            about = {"key": one, "code": one if one in CODES else "", "windowsVirtualKeyCode": CODES.get(one, 0)}
            self.ask("Input.dispatchKeyEvent", type="keyDown", **about, **text)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def picture(self, path):
        """All of the page as a PNG file."""
        shown = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shown["data"]))

    def close(self):
        """Let go of the browser."""
        self._loop.run_until_complete(self._socket.close())
        self._loop.run_until_complete(self._session.close())
