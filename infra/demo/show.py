"""`spinor demo`: a real production of Z → µ⁺µ⁻ from submission to a fitted peak, explained while it runs."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import httpx
import typer
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domain.errors import Code, Refused
from domain.job import FINAL
from gateway.cli.archive import pack
from gateway.cli.output import as_json, asked, called
from gateway.cli.sandbox import download, upload
from infra.demo.telling import advice, histogram, indented, timeline, title
from infra.laptop import developer, elsewhere, laptop
from infra.serve import stopping, unless
from infra.settings import Settings
from infra.system import System

ENDED = [status.value for status in FINAL]
PATIENCE = 120.0  # seconds a production may take before the demonstration gives up
LOOK = 0.25  # seconds between two looks of the progress view
INTERRUPTED = 130  # what a shell expects of a program that Ctrl-C ended


async def show(system: System, settings: Settings) -> None:
    """Run the demonstration; raises Refused when it does not come to its end."""
    console = Console(highlight=False, stderr=asked.json)
    console.print("Spinor, a demonstration\n")
    console.print("Five jobs simulate Z → µ⁺µ⁻ decays, a sixth finds the Z mass in what they made.\n")
    async with stopping() as stop:
        if not await unless(stop, _shown(console, system, settings), "\nstopping …"):
            kept = called("spinor up")
            console.print(f"stopped; what was submitted is kept and goes on with the next `{kept}`", markup=False)
            raise typer.Exit(INTERRUPTED)


async def _shown(console: Console, system: System, settings: Settings) -> None:
    context = AsyncExitStack()
    with console.status("starting PostgreSQL, gateway, policies, views, matcher and a pilot …"):
        work, _ = await context.enter_async_context(laptop(system, settings, 1))
    async with context:
        token = work.world.issue(developer(settings.vo), 3600) if work.world else ""
        await Tour(console, work.url, token, settings).walk()


class Tour:
    """The steps of the demonstration, as any client would make them: over HTTP."""

    def __init__(self, console: Console, url: str, token: str, settings: Settings) -> None:
        self.console = console
        self.settings = settings
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
        self.console.print(f"submitted one parametric description: jobs {production[0]} to {production[-1]}")
        (wish,) = await self._submit("wish.jdl", ())
        self.console.print(f"submitted what no site here can run: job {wish}")
        rows = await self._progress(production, "production")
        outputs = [row["output"] for row in rows]
        (merge,) = await self._submit("merge.jdl", ("merge.py", "plot.py", "physics.json"), outputs)
        self.console.print(f"submitted the merge of their outputs: job {merge}")
        (done,) = await self._progress([merge], "merge")
        results = await asyncio.to_thread(self._fetch, done["output"], merge)
        await self._tell(merge, wish, results)
        if asked.json:
            fit = json.loads((results / "fit.json").read_text())
            as_json({"production": production, "merge": merge, "waiting": wish, "results": str(results), "fit": fit})

    async def _tell(self, merge: int, wish: int, results: Path) -> None:
        self.console.print()
        histogram(self.console, (results / "dimuon.txt").read_text())
        title(self.console, f"What happened to job {merge}, and because of what")
        timeline(self.console, (await self._get(f"/api/v1/jobs/{merge}/history"))["lines"])
        title(self.console, f"Why job {wish} waits")
        indented(self.console, (await self._get(f"/api/v1/jobs/{wish}/why"))["detail"])
        title(self.console, "Where things lie")
        for name in ("dimuon.svg", "dimuon.txt", "fit.json"):
            self.console.print(f"  {results / name}", markup=False, soft_wrap=True)
        title(self.console, "What to try next")
        if first := elsewhere(self.settings):
            self.console.print(f"  {first.removesuffix('; ')}", markup=False, soft_wrap=True)
        advice(self.console, (
            ("spinor up", "keep it running, with a page in the browser"),
            ("spinor job list", "all jobs (in another terminal)"),
            (f"spinor history job {merge}", "the same timeline, from the log"),
            (f"spinor job why {wish}", "ask again"),
            (f"spinor job kill {wish}", "give the wish up"),
        ))  # fmt: skip

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
        target = self.settings.data / "demo" / str(job)
        download(self.client, output, target)
        return target

    async def _progress(self, jobs: Sequence[int], name: str) -> list[dict[str, Any]]:
        """Show how the jobs fare until all have ended; their rows."""
        bar = Progress(
            TextColumn(f"  {name}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"),
            TimeElapsedColumn(), console=self.console,
        )  # fmt: skip
        task = bar.add_task("", total=len(jobs))
        with Live(bar, console=self.console, refresh_per_second=8, transient=not self.console.is_terminal):
            rows, end = await self._rows(jobs), asyncio.get_running_loop().time() + PATIENCE
            while any(row["status"] not in ENDED for row in rows) and asyncio.get_running_loop().time() < end:
                bar.update(task, completed=sum(row["status"] in ENDED for row in rows), description=_counted(rows))
                await asyncio.sleep(LOOK)
                rows = await self._rows(jobs)
            bar.update(task, completed=sum(row["status"] in ENDED for row in rows), description=_counted(rows))
        for row in rows:
            if row["status"] != "Done":
                why = (await self._get(f"/api/v1/jobs/{row['job']}/why"))["detail"]
                logs = self.settings.data / "logs"
                raise Refused(Code.DEMO_FAILED, job=row["job"], status=row["status"], why=why, logs=str(logs))
        if not self.console.is_terminal:
            self.console.print(f"  {name}: {len(jobs)} of {len(jobs)} done")
        return rows

    async def _rows(self, jobs: Sequence[int]) -> list[dict[str, Any]]:
        return [await self._get(f"/api/v1/jobs/{job}") for job in jobs]

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
