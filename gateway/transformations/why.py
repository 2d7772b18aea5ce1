"""Why a transformation does not go on, or what became of a file: reasons as fields, each with what helps."""

from typing import Any

import msgspec
from sqlalchemy import func, select

from domain.data.field import Known
from domain.data.names import check_file, file_stream
from domain.data.query import parse
from domain.errors import Code, Refused
from gateway.data.catalogue import check_readable
from gateway.errors import explained
from gateway.ports import Principal, Row, World
from projections.data import fields, files, values
from projections.transformations import tasks as view

Reason = dict[str, Any]


async def of_transformation(world: World, row: Row) -> list[Reason]:
    """What keeps it, the heaviest first."""
    it = msgspec.json.decode(row["definition"])
    name, unused = row["name"], row["attached"] - row["assigned"] - row["processed"] - row["quarantined"]
    size, most = it.get("group_size", 1), row["max_tasks"]
    active = row["status"] in ("Active", "Draining")
    possible: tuple[tuple[Any, str, Reason, str], ...] = (
        (row["status"] == "New", "not-started", {}, f"spinor transformation start {name}"),
        (row["status"] == "Paused", "paused", {"unused": unused}, f"spinor transformation start {name}"),
        (row["status"] in ("Completed", "Cleaned"), "ended", {"unused": unused}, "spinor transformation list"),
        (active and most and row["tasks"] >= most, "max-tasks", {"max_tasks": most, "unused": unused},
         f"spinor transformation extend {name} --max-tasks {2 * most}"),
        (row["status"] == "Active" and 0 < unused, "group-not-full", {"unused": unused, "group_size": size},
         f"spinor transformation drain {name}"),
        (active and not row["attached"] and row["source"] != "none", "no-inputs", {},
         f"spinor transformation show {name}"),
        (row["open_tasks"] > 0, "tasks-run", {"tasks": row["open_tasks"]},
         f"spinor job list --job-group {name}"),
    )  # fmt: skip
    reasons = [{"code": code, **parameters, "next": help_} for holds, code, parameters, help_ in possible if holds]
    return [*reasons, *await _quarantined(world, row)]


async def _quarantined(world: World, row: Row) -> list[Reason]:
    """Why inputs are kept aside, by code."""
    t = view.tasks.c
    counts = (func.count().label("tasks"), func.sum(t.inputs).label("inputs"), func.min(t.job).label("job"))
    query = select(t.code, *counts)
    if not row["quarantined_tasks"]:
        return []
    mine = query.where(t.vo == row["vo"], t.name == row["name"], t.status == "Quarantined")
    rows = await world.read(mine.group_by(t.code).order_by(func.count().desc()).limit(20))
    return [{"code": "quarantined", "because": each["code"], "tasks": each["tasks"], "inputs": int(each["inputs"]),
             "next": f"spinor job why {each['job']}"} for each in rows]  # fmt: skip


async def of_file(world: World, who: Principal, row: Row, lfn: str) -> list[Reason]:
    """What became of one file; of one that is no input, which conditions it does not fit.

    Raises:
        Refused: FILE_NAME, DATA_FORBIDDEN.
    """
    check_file(row["vo"], lfn)
    await check_readable(world, who, lfn)
    found = await world.read(view.page_of_inputs(row["vo"], row["name"], row["stream"], file=file_stream(lfn)))
    if found:
        keep = ("state", "task", "job", "target", "code")
        return [{"lfn": lfn, **{name: each[name] for name in keep if each[name] not in (None, "")}} for each in found]
    there = [each for each in await world.read(files.named([lfn])) if each["status"] == "Active"]
    if not there:
        return [{"lfn": lfn, "code": "file-unknown", "error": explained(Refused(Code.FILE_UNKNOWN, lfn=lfn))}]
    return await _unfit(world, row, lfn, there[0])


async def _unfit(world: World, row: Row, lfn: str, file: Row) -> list[Reason]:
    it = msgspec.json.decode(row["definition"])
    if row["source"] != "query":
        return [{"lfn": lfn, "code": "not-named", "next": f"spinor transformation extend {row['name']} {lfn}"}]
    path = it.get("path", "")
    reasons: list[Reason] = []
    if path and not lfn.startswith(f"{path}/"):
        reasons.append({"lfn": lfn, "code": "not-below", "path": path})
    known = {each["name"]: Known(each["name"], each["type"], each["holder"])
             for each in await world.read(fields.of_vo(row["vo"]))}  # fmt: skip
    for text in it.get("conditions", ()):
        query = values.found(row["vo"], file["path"], parse([text], known), None, limit=1)
        if not await world.read(query.where(files.files.c.file == file_stream(lfn))):
            reasons.append({"lfn": lfn, "code": "condition", "condition": text})
    return reasons or [{"lfn": lfn, "code": "not-yet", "next": f"spinor transformation show {row['name']}"}]
