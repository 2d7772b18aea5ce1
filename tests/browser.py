"""Headless Chromium, driven over its own protocol through two pipes: no driver to install, no port to find."""

import asyncio
import base64
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from servers import Missing, Servers

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--mute-audio",
    "--remote-debugging-pipe", "--hide-scrollbars",
)  # fmt: skip
PIPED = 'exec "$@" 3<&"$TO" 4>&"$FROM"'  # the numbers that Chromium expects
PATIENCE = 20.0  # seconds


class ScriptFault(AssertionError):
    """The page's JavaScript raised, or the browser refused a call."""


class Pipe:
    """JSON messages in both directions, ended by a zero byte each."""

    def __init__(self, reader: asyncio.StreamReader, write: Callable[[bytes], Any]) -> None:
        self._reader, self._write = reader, write
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.heard: list[Callable[[dict[str, Any]], None]] = []

    async def run(self) -> None:
        """Hand out what comes, until the browser ends."""
        try:
            while raw := await self._reader.readuntil(b"\0"):
                message = json.loads(raw[:-1])
                if (future := self._waiting.pop(message.get("id"), None)) and not future.done():
                    future.set_result(message)
                for hear in self.heard if "method" in message else ():
                    hear(message)
        except asyncio.IncompleteReadError:
            for future in self._waiting.values():
                future.cancel()

    async def call(self, method: str, session: str = "", **parameters: Any) -> Any:
        """The result of one call; raises ScriptFault."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        future = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        self._write(json.dumps(message).encode() + b"\0")
        answer = await asyncio.wait_for(future, PATIENCE)
        if "error" in answer:
            raise ScriptFault(f"{method}: {answer['error']}")
        return answer["result"]


class Page:
    """One tab. `faults` collects what a user would never see: console errors, exceptions, violations of policies."""

    def __init__(self, pipe: Pipe, session: str) -> None:
        self._pipe, self._session = pipe, session
        self.faults: list[str] = []
        pipe.heard.append(self._hear)

    async def call(self, method: str, **parameters: Any) -> Any:
        """A call to the browser about this tab."""
        return await self._pipe.call(method, self._session, **parameters)

    async def open(self, url: str) -> None:
        """Go there, as if it was typed into a new tab."""
        await self.call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; promises are awaited."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise ScriptFault(answer["exceptionDetails"].get("exception", {}).get("description", script))
        return answer["result"].get("value")

    async def until(self, script: str, patience: float = PATIENCE) -> Any:
        """Wait until the expression is true; gives its value. What goes wrong meanwhile counts as not yet."""
        end = asyncio.get_running_loop().time() + patience
        while True:
            try:
                if found := await self.run(f"Promise.resolve({script}).then(v => v instanceof Node || v)"):
                    return found
            except ScriptFault as fault:
                if asyncio.get_running_loop().time() > end:
                    raise fault
            if asyncio.get_running_loop().time() > end:
                text = await self.run("document.body.innerText")
                raise AssertionError(f"never true: {script}\nfaults: {self.faults}\nthe page says:\n{text[:3000]}")
            await asyncio.sleep(0.05)

    async def click(self, selector: str) -> None:
        """Wait for an element, then click where it is, with the mouse."""
        where = f"document.querySelector({json.dumps(selector)})"
        await self.until(f"{where}?.checkVisibility()")
        box = await self.run(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            f" return [b.x + b.width / 2, b.y + b.height / 2] }})({where})"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    async def press(self, key: str) -> None:
        """Press a key: a character, or a name such as Escape or Tab."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowDown": 40, "ArrowUp": 38}.get(key, 0)
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def size(self, width: int, height: int = 900) -> None:
        """Make the window this large, in CSS pixels."""
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                        mobile=False)  # fmt: skip

    async def prefer(self, **features: str) -> None:
        """Prefer, as a user: `color_scheme="dark"`, `reduced_motion="reduce"`."""
        wanted = [{"name": "prefers-" + name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=wanted)

    async def picture(self, path: Path) -> None:
        """What is on the screen, as a PNG."""
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("sessionId") != self._session:
            return
        about = message["params"]
        if message["method"] == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.faults.append(details.get("exception", {}).get("description") or details["text"])
        elif message["method"] == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.faults.append(" ".join(str(each.get("value", each.get("description"))) for each in about["args"]))
        elif message["method"] == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.faults.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")


class Browser:
    """A running Chromium with a profile of its own."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def page(self) -> Page:
        """A new tab that shares nothing with the others."""
        context = (await self._pipe.call("Target.createBrowserContext"))["browserContextId"]
        target = await self._pipe.call("Target.createTarget", url="about:blank", browserContextId=context)
        session = await self._pipe.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self._pipe, session["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        return page


def program() -> str:
    """Where Chromium is; raises Missing."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise Missing("Chromium is not on this machine: apt-get install --no-install-recommends chromium")


@asynccontextmanager
async def chromium(servers: Servers, home: Path) -> AsyncIterator[Browser]:
    """Run Chromium as long as the context lasts; its processes end with the tests even when those are killed."""
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    environment = {**servers.environment, "HOME": str(home), "TO": str(their_in), "FROM": str(their_out)}
    with (home / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", PIPED, "bash", program(), *FLAGS, f"--user-data-dir={home}", "about:blank",
            pass_fds=(their_in, their_out), env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    os.close(their_in)
    os.close(their_out)
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    incoming, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(our_in, "rb"))
    outgoing = os.fdopen(our_out, "wb", buffering=0)
    pipe = Pipe(reader, outgoing.write)
    listening = asyncio.create_task(pipe.run())
    try:
        yield Browser(pipe)
    finally:
        await pipe.call("Browser.close")
        await asyncio.wait_for(process.wait(), PATIENCE)
        await listening
        outgoing.close()
        incoming.close()
