"""The page in a real browser, over the whole system: what people see, and what hostile names cannot do."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from browser import Page, ScriptFault, chromium
from conftest import not_run
from gateway_site import ALL, SYSTEM, VO, Site, submitted
from servers import Missing, Servers

from gateway import page as served
from infra.serve import running
from infra.settings import settings
from infra.system import System

pytestmark = pytest.mark.servers
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script>"\'`${window.hacked=3}'
LONG = "unbroken" * 16
SERVED = SYSTEM if served.router in SYSTEM.routers else SYSTEM | System(routers=(served.router,))


@dataclass
class Desk:
    """Somebody at a browser: the tab, the system behind it, and the same person's HTTP client."""

    page: Page
    site: Site
    client: httpx.AsyncClient

    @property
    def link(self) -> str:
        return f"{self.site.work.url}/#token={self.client.headers['Authorization'][7:]}"

    async def go(self, fragment: str) -> None:
        await self.page.open(f"{self.site.work.url}/#{fragment}")

    async def sees(self, text: str, where: str = "body") -> None:
        await self.page.until(f"document.querySelector({where!r})?.innerText.includes({text!r})")

    async def row(self, job: int, status: str) -> None:
        """Wait until the list shows the job with this status."""
        link = f"document.querySelector('.job[data-job=\"{job}\"] .status')"
        await self.page.until(f"{link}?.innerText === {status!r}")


@pytest.fixture
async def desk(database: str, tmp_path: Path, servers: Servers) -> AsyncIterator[Desk]:
    """A page that was opened through its link. At the end nothing may have gone wrong behind its back."""
    async with AsyncExitStack() as stack:
        given = settings(database=database, data=tmp_path / "data", port=0, vo=VO, secret="s" * 40)
        site = Site(await stack.enter_async_context(running(SERVED, given)), stack)
        (tmp_path / "browser").mkdir()
        try:
            browser = await stack.enter_async_context(chromium(servers, tmp_path / "browser"))
        except Missing as missing:
            not_run(str(missing))
        desk = Desk(await browser.page(), site, await site.user("ann", *ALL))
        await desk.page.size(1280)
        await desk.page.open(desk.link)
        await desk.page.until("document.getElementById('link').dataset.state === 'live'")
        yield desk
        assert desk.page.faults == []


async def test_the_link_signs_in_and_its_token_leaves_the_address(desk: Desk) -> None:
    assert "token" not in await desk.page.run("location.href")
    assert await desk.page.run("document.getElementById('vo').innerText") == VO
    assert await desk.page.run("document.getElementById('user').innerText") == "ann"
    await desk.sees("No jobs yet")
    await desk.sees("spinor job submit")


async def test_without_a_token_the_page_says_how_to_get_one(desk: Desk) -> None:
    await desk.page.run("sessionStorage.clear()")
    await desk.page.call("Page.reload")
    await desk.sees("This page opens through a link", "main")
    await desk.sees("spinor up", "main")
    await desk.page.open(desk.link)  # a link that is opened in this tab works at once
    await desk.sees("No jobs yet")


async def test_a_token_that_ended_is_explained_and_forgotten(desk: Desk) -> None:
    await desk.go("token=worthless")
    await desk.sees("This tab is no longer signed in", "main")
    assert await desk.page.run("sessionStorage.length") == 0
    assert all("401" in fault for fault in desk.page.faults)
    desk.page.faults.clear()


async def test_states_change_before_ones_eyes_without_a_reload(desk: Desk) -> None:
    await desk.sees("No jobs yet")
    await desk.page.run("window.sameDocument = true")
    pilot = await desk.site.pilot(site="LCG.CERN.cern")
    first, second = await submitted(
        desk.client, {"executable": "/bin/true", "name": "one"}, {"executable": "/bin/true"}
    )
    await desk.row(first, "Waiting")
    await desk.page.run(f"document.querySelector('.job[data-job=\"{first}\"]').sameRow = true")
    assert (await pilot.offer())["job"] == first
    await desk.row(first, "Matched")
    await pilot.report(first, "started", 1, host="n1", pid=1)
    await desk.row(first, "Running")
    await pilot.report(first, "done", 2, exit_code=0, cpu_seconds=1, wall_seconds=2, max_rss_mb=3, missing=[])
    await desk.row(first, "Done")
    await desk.row(second, "Waiting")
    counts = "[...document.querySelectorAll('.tallies button')].map(b => b.innerText.replace(/\\s+/g, ' ')).join()"
    await desk.page.until(f"{counts} === 'Waiting 1,Done 1'")
    assert await desk.page.run("window.sameDocument")
    assert await desk.page.run(f"document.querySelector('.job[data-job=\"{first}\"]').sameRow")
    await desk.page.until("/^[3-9]|\\d\\d/.test(document.querySelector('.activity b').innerText)")


async def test_a_job_with_an_unknown_tag_says_why_it_waits(desk: Desk) -> None:
    pilot = await desk.site.pilot()
    (job,) = await submitted(desk.client, {"executable": "/bin/true", "tags": ["gpu-a100"]})
    assert await pilot.offer(wait=0) is None
    await desk.row(job, "Waiting")
    await desk.page.click(f".job[data-job='{job}']")
    await desk.sees("Why it waits", ".panel")
    await desk.sees("asks for a tag that is not offered; this keeps it from the only pilot", ".panel .why")
    await desk.sees("gpu-a100", ".panel .why dl")
    await desk.sees("ann submitted the job", ".panel .timeline li")
    await desk.sees("after job submitted", ".panel .timeline")
    assert await desk.page.run("location.hash") == f"#/job/{job}"
    await desk.page.run("document.querySelector('.described summary').click()")
    await desk.sees("/bin/true", ".described pre")
    await desk.go("/queues")
    await desk.sees("tags gpu-a100", ".grid")
    await desk.go("/pilots/p1")
    await desk.sees("2 processors", ".grid")
    await desk.sees("Pilot p1 proved itself", ".timeline")


async def test_a_hostile_name_is_shown_as_it_is_and_runs_nothing(desk: Desk) -> None:
    (job,) = await submitted(desk.client, {"executable": "/bin/true", "name": HOSTILE})
    await desk.go(f"/job/{job}")
    for where in (f'.job[data-job="{job}"] .name', ".panel h1"):
        await desk.page.until(f"document.querySelector({where!r})?.textContent === {HOSTILE!r}")
    await desk.sees("<script>", ".panel .timeline")
    await desk.page.click(".panel .actions button")
    await desk.sees(HOSTILE, "dialog")
    assert await desk.page.run("document.querySelectorAll('main img, main script, dialog img').length") == 0
    assert desk.page.faults == []
    assert await desk.page.run("window.hacked === undefined")
    # And if the page had a hole: the policy in force stops what comes through it, and that is noticed.
    for hole in ("document.body.innerHTML = '<b>'", "document.body.setAttribute('onclick', 'window.hacked = 4')"):
        with pytest.raises(ScriptFault, match="requires 'Trusted"):
            await desk.page.run(hole)
    await desk.page.run("document.body.append(Object.assign(document.createElement('style'), {textContent: 'p {}'}))")
    await desk.page.until("document.body.lastChild.sheet === null")
    assert any("Content Security Policy" in fault for fault in desk.page.faults)
    desk.page.faults.clear()


async def test_killing_and_running_again_ask_first_and_keep_the_reason(desk: Desk) -> None:
    (job,) = await submitted(desk.client)
    await desk.row(job, "Waiting")
    await desk.go(f"/job/{job}")
    await desk.page.click(".panel .actions button")
    await desk.page.click("dialog button[value=no]")
    await desk.page.until("!document.querySelector('dialog')")
    await desk.row(job, "Waiting")
    await desk.page.click(".panel .actions button")
    await desk.page.click("#reason")
    await desk.page.type("wrong input")
    await desk.page.press("Enter")
    await desk.row(job, "Killed")
    await desk.sees("killed it: wrong input", ".panel .why")
    await desk.page.click(".panel .actions button")
    await desk.sees("Run this job again?", "dialog")
    await desk.page.click("dialog button[value=yes]")
    await desk.row(job, "Waiting")
    await desk.sees("starts again as attempt 2", ".panel .timeline")


async def test_a_refusal_says_what_who_and_what_next(desk: Desk) -> None:
    await desk.go("/job/4711")
    await desk.sees("There is no job 4711.", ".panel .fault")
    await desk.sees("You can mend this.", ".panel .fault")
    await desk.sees("spinor job list", ".panel .fault")
    (job,) = await submitted(desk.client)
    await desk.go(f"/job/{job}")
    await desk.page.click(".panel .actions button")
    await desk.page.until("document.querySelector('dialog')")
    await desk.client.post(f"/api/v1/jobs/{job}/delete")  # somebody is faster
    await desk.page.click("dialog button[value=yes]")
    await desk.sees(f"Job {job} is Deleted: kill is not possible from there.", ".panel .fault")
    assert all("404" in fault or "409" in fault for fault in desk.page.faults)  # the browser's own notes of both
    desk.page.faults.clear()


async def test_long_lists_come_in_pages_and_filters_narrow_them(desk: Desk) -> None:
    jobs = await submitted(desk.client, *({"executable": "/bin/true", "name": f"bulk {n}"} for n in range(250)))
    await desk.client.post("/api/v1/jobs/kill", json={"jobs": jobs[:3]})
    rows = "document.querySelectorAll('.job').length"
    await desk.page.until(f"{rows} === 100")
    await desk.page.click(".more button")
    await desk.page.until(f"{rows} === 200")
    await desk.page.click(".more button")
    await desk.page.until(f"{rows} === 250")
    await desk.page.until("document.querySelector('.more').hidden")
    await desk.page.click(".tallies [data-key=Killed]")
    await desk.page.until(f"{rows} === 3")
    await desk.page.click(".tallies [data-key=Killed]")
    await desk.page.until(f"{rows} === 100")
    await desk.page.press("/")
    await desk.page.type("bulk 17")
    await desk.page.until(f"{rows} === 14")  # bulk 17, 117, 217, 170 to 179, and job 17
    await desk.page.run("document.getElementById('search').select()")
    await desk.page.type("owner:nobody")
    await desk.sees("No job fits these filters")


async def test_everything_can_be_done_with_the_keyboard(desk: Desk) -> None:
    first, second = await submitted(desk.client, {"executable": "/bin/true"}, {"executable": "/bin/false"})
    await desk.row(first, "Waiting")
    await desk.page.run(f"document.querySelector('.job[data-job=\"{second}\"]').focus()")
    await desk.page.press("ArrowDown")
    await desk.page.press("Enter")
    await desk.page.until(f"location.hash === '#/job/{first}' && document.activeElement.id === 'panel-title'")
    await desk.page.press("Escape")
    await desk.page.until(
        f"document.querySelector('.panel').hidden && document.activeElement.dataset.job === '{first}'"
    )


async def test_what_happened_while_the_gateway_was_away_is_there_after_it(desk: Desk) -> None:
    given = desk.site.work.runtime.settings
    here = settings(database=given.database, data=given.data, port=0, vo=VO, secret="s" * 40)
    async with running(SERVED, here, ["gateway"]) as first:
        await desk.page.open(desk.link.replace(desk.site.work.url, first.url))
        await desk.page.until("document.getElementById('link').dataset.state === 'live'")
        await desk.sees("No jobs yet")
    await desk.page.until("document.getElementById('link').dataset.state === 'away'")
    (job,) = await submitted(desk.client)
    again = settings(database=given.database, data=given.data, port=int(first.url.rpartition(":")[2]), vo=VO,
                     secret="s" * 40)  # fmt: skip
    async with running(SERVED, again, ["gateway"]):
        await desk.page.until("document.getElementById('link').dataset.state === 'live'")
        await desk.row(job, "Waiting")
    assert all("net::ERR" in fault for fault in desk.page.faults), desk.page.faults
    desk.page.faults.clear()


@pytest.mark.parametrize(("width", "scheme"), [(380, "light"), (380, "dark"), (800, "light"), (1600, "dark")])
async def test_every_view_fits_its_window(desk: Desk, width: int, scheme: str) -> None:
    pilot = await desk.site.pilot(f"p{'1' * 60}", site=LONG)
    (job,) = await submitted(desk.client, {"executable": "/bin/true", "name": LONG, "tags": [LONG[:80]]})
    await pilot.offer(wait=0)
    await desk.page.size(width, 800)
    await desk.page.prefer(color_scheme=scheme, reduced_motion="reduce")
    for fragment, mark in (
        ("/jobs", ".job"),
        (f"/job/{job}", ".obstacles"),
        ("/pilots", ".grid td"),
        ("/queues", ".grid td"),
    ):
        await desk.go(fragment)
        await desk.page.until(f"document.querySelector({mark!r})?.checkVisibility()")
        wide = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
        assert await desk.page.run(wide) == 0, fragment
        assert await desk.page.run("document.getAnimations().length") == 0


async def test_every_control_has_a_name_and_every_region_a_role(desk: Desk) -> None:
    (job,) = await submitted(desk.client)
    await desk.go(f"/job/{job}")
    await desk.sees("What happened", ".panel")
    tree = (await desk.page.call("Accessibility.getFullAXTree"))["nodes"]
    shown = [node for node in tree if not node["ignored"]]
    roles = {node["role"]["value"] for node in shown}
    assert {"banner", "main", "navigation", "complementary", "search", "list", "status"} <= roles
    controls = [node for node in shown if node["role"]["value"] in ("button", "link", "searchbox", "combobox", "img")]
    assert len(controls) > 5  # a waiting job has fewer than one that has ended
    assert [node for node in controls if not node["name"]["value"]] == []
