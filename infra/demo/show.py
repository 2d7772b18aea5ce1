"""`spinor demo`: a real production of Z → µ⁺µ⁻ from submission to a fitted peak, explained while it runs."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from domain.errors import Code, Refused
from domain.job import FINAL
from gateway.cli.archive import pack
from gateway.cli.sandbox import download, upload
from infra.laptop import laptop
from infra.serve import stopping
from infra.settings import Settings
from infra.system import System

OPEN = [status.value for status in FINAL]
PATIENCE = 120.0  # seconds a production may take before the demonstration gives up
LOOK = 0.25  # seconds between two looks of the progress view


async def show(system: System, settings: Settings) -> None:
    """Run the demonstration; raises Refused when it does not come to its end."""
    console = Console(highlight=False)
    async with stopping() as stop:
        console.print("Spinor, a demonstration\n")
        console.print("Five jobs simulate Z → µ⁺µ⁻ decays, a sixth finds the Z mass in what they made.\n")
        with console.status("starting PostgreSQL, gateway, policies, views, matcher and a pilot …"):
            context = laptop(system, settings, 1)
            work, _ = await context.__aenter__()
        try:
            token = work.world.issue(_developer(settings), 3600) if work.world else ""
            tour = Tour(console, work.url, token, settings.data / "demo")
            walk = asyncio.create_task(tour.walk())
            halt = asyncio.create_task(stop.wait())
            await asyncio.wait([walk, halt], return_when=asyncio.FIRST_COMPLETED)
            halt.cancel()
            if not walk.done():
                walk.cancel()
                console.print("\nstopped; what was submitted is kept and goes on with the next `spinor up`")
                await asyncio.gather(walk, return_exceptions=True)
                return
            walk.result()
        finally:
            await context.__aexit__(None, None, None)


def _developer(settings: Settings) -> Any:
    from infra.laptop import developer

    return developer(settings.vo)


class Tour:
    """The steps of the demonstration, as any client would make them: over HTTP."""

    def __init__(self, console: Console, url: str, token: str, home: Path) -> None:
        self.console = console
        self.url = url
        self.home = home
        headers = {"Authorization": f"Bearer {token}"}
        self.client = httpx.Client(base_url=url, headers=headers, timeout=10)  # for what moves files, in threads
        self.asking = httpx.AsyncClient(base_url=url, headers=headers, timeout=30)

    async def walk(self) -> None:
        """All steps in turn."""
        with self.client:
            async with self.asking:
                await self._steps()

    async def _steps(self) -> None:
        known = (await self._get("/api/v1/jobs", limit=1))["jobs"]
        if known:
            self.console.print(f"jobs of earlier runs are still known, up to {known[0]['job']}\n")
        production = await self._submit("production.jdl", ("generate.py", "physics.json"))
        wish = await self._submit("wish.jdl", ())
        self.console.print(f"submitted one parametric description: jobs {production[0]} to {production[-1]}")
        rows = await self._progress(production, "production")
        outputs = [row["output"] for row in rows]
        merge = await self._submit("merge.jdl", ("merge.py", "plot.py", "physics.json"), outputs)
        self.console.print(f"submitted the merge of their outputs: job {merge[0]}")
        (done,) = await self._progress(merge, "merge")
        results = await asyncio.to_thread(self._fetch, done["output"], merge[0])
        await self._tell(merge[0], wish[0], results)

    async def _tell(self, merge: int, wish: int, results: Path) -> None:
        self.console.print("\n" + (results / "dimuon.txt").read_text(), markup=False)
        self._title(f"What happened to job {merge}, and because of what")
        self._timeline((await self._get(f"/api/v1/jobs/{merge}/history"))["lines"])
        self._title(f"Why job {wish} waits")
        why = await self._get(f"/api/v1/jobs/{wish}/why")
        self.console.print(f"  {why['detail']}\n  next: {why['next']}", markup=False)
        self._title("Where things lie")
        self.console.print(
            f"  {results / 'dimuon.svg'}\n  {results / 'dimuon.txt'}\n  {results / 'fit.json'}", markup=False
        )
        self._title("What to try next")
        self.console.print(
            f"  spinor up                     keep it running, with a page in the browser\n"
            f"  spinor job list               (in another terminal)\n"
            f"  spinor history job {merge:<10} the same timeline, from the log\n"
            f"  spinor job why {wish:<14} ask again\n"
            f"  spinor job kill {wish:<13} give the wish up",
            markup=False,
        )

    async def _submit(self, name: str, inputs: Sequence[str], more: Sequence[str] = ()) -> list[int]:
        """Upload the input sandbox, submit the JDL with its name in it; the job numbers."""
        jdl = files("infra.demo").joinpath(name).read_text()
        pfns = [*([await asyncio.to_thread(self._upload, inputs)] if inputs else []), *more]
        body = _checked(await self.asking.post("/api/v1/jobs", json={"jdl": with_sandboxes(jdl, pfns)}))
        return [job["job"] for job in body["jobs"]]

    def _upload(self, names: Sequence[str]) -> str:
        with tempfile.TemporaryDirectory() as folder, as_file(files("infra.demo")) as source:
            for name in names:
                shutil.copy(source / name, folder)
                (Path(folder) / name).chmod(0o755 if name.endswith(".py") else 0o644)
            packed = pack([Path(folder) / name for name in names])
            return upload(self.client, packed)

    def _fetch(self, output: str, job: int) -> Path:
        target = self.home / str(job)
        download(self.client, output, target)
        return target

    async def _progress(self, jobs: Sequence[int], name: str) -> list[dict[str, Any]]:
        """Show how the jobs fare until all have ended; their rows."""
        bar = Progress(
            TextColumn(f"  {name}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"),
            TimeElapsedColumn(), console=self.console,
        )  # fmt: skip
        task = bar.add_task("", total=len(jobs))
        async with asyncio.timeout(PATIENCE):
            with Live(bar, console=self.console, refresh_per_second=8, transient=not self.console.is_terminal):
                while True:
                    rows = [await self._get(f"/api/v1/jobs/{job}") for job in jobs]
                    done = sum(row["status"] in OPEN for row in rows)
                    bar.update(task, completed=done, description=_counted(rows))
                    if done == len(jobs):
                        break
                    await asyncio.sleep(LOOK)
        failed = [row for row in rows if row["status"] != "Done"]
        if failed:
            raise Refused(Code.DEMO_FAILED, job=failed[0]["job"], status=failed[0]["status"], why="", logs="")
        if not self.console.is_terminal:
            self.console.print(f"  {name}: {len(jobs)} of {len(jobs)} done")
        return rows

    def _title(self, text: str) -> None:
        self.console.print(Text("\n" + text, style="bold"))

    def _timeline(self, lines: Sequence[dict[str, Any]]) -> None:
        table = Table.grid(padding=(0, 2))
        for line in lines:
            because = f"  because: {line['because']}" if line.get("because") else ""
            told = Text(line["what"]).append(because, style="dim")
            table.add_row("", Text(line["at"][11:23], style="dim"), Text(line["actor"], style="cyan"), told)
        self.console.print(table)

    async def _get(self, path: str, **parameters: Any) -> Any:
        return _checked(await self.asking.get(path, params=parameters))


def with_sandboxes(jdl: str, pfns: Sequence[str]) -> str:
    """The JDL with these sandboxes as its whole InputSandbox."""
    from domain import jdl as language

    attributes = language.parse(jdl)
    if pfns:
        attributes["InputSandbox"] = list(pfns)
    return language.write(attributes)


def _counted(rows: Sequence[dict[str, Any]]) -> str:
    states = [row["status"] for row in rows]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def _checked(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json()
    body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    frame = {"type", "title", "status", "code", "detail", "who", "next"}
    raise Refused(Code.of(body.get("code", "broken")), **{k: v for k, v in body.items() if k not in frame})
