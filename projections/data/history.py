"""What happened to files and directories, one sentence an event."""

from typing import Any

from domain.data.consistency import Check
from domain.data.directory import Directory
from domain.data.field import Field
from domain.data.file import File
from domain.data.quota import Quota
from domain.data.removal import Removal
from domain.data.request import Request
from projections.history import Sentences


def _values(facts: Any) -> str:
    given = [f"{name} = {value}" for name, value in facts.values.items() if value is not None]
    gone = [f"{name} taken away" for name, value in facts.values.items() if value is None]
    return f"metadata: {', '.join(given + gone)}"


def _at(ses: tuple[str, ...]) -> str:
    return f" at {', '.join(ses)}" if ses else ""


SENTENCES: Sentences = {
    File.Registered: lambda facts: f"the file was registered: {facts.size} bytes{_at(facts.ses)}",
    File.Announced: lambda facts: f"the file is going to be written to {facts.se}: {facts.size} bytes",
    File.ReplicaIntended: lambda facts: f"a replica is going to be written to {facts.se}",
    File.Stored: lambda facts: f"{facts.se} has it, as it was announced",
    File.NotStored: lambda facts: f"{facts.se} does not have it as it was announced: {facts.problem}",
    File.Overdue: lambda facts: f"nobody confirmed in time that {facts.se} has it",
    File.ReplicaAdded: lambda facts: f"a replica at {facts.se} was registered",
    File.ReplicaDoubted: lambda facts: (
        f"the replica at {facts.se} is {'lost' if facts.lost else 'suspect'}"
        + (f": {facts.reason}" if facts.reason else "")
    ),
    File.ReplicaTrusted: lambda facts: f"the replica at {facts.se} is right",
    File.ReplicaDropped: lambda facts: f"the replica at {facts.se} is going to be removed",
    File.NotCleared: lambda facts: f"{facts.se} has not removed its bytes: {facts.reason}; it is tried again",
    File.ReplicaCleared: lambda facts: f"{facts.se} has removed its bytes",
    File.Removed: lambda facts: "the file was removed; its bytes are kept until the removal is final",
    File.Restored: lambda facts: (
        f"the file is back{_at(facts.ses)}" + (f"; lost{_at(facts.lost)}" if facts.lost else "")
    ),
    File.Described: _values,
    Directory.Made: lambda facts: f"the directory was made, mode {facts.mode:o}",
    Directory.Protected: lambda facts: f"mode {facts.mode:o}, group {facts.group}",
    Directory.Described: _values,
    Field.Declared: lambda facts: f"the field {facts.name} was declared: {facts.type}, of a {facts.holder}",
    Removal.Planned: lambda facts: f"the removal of {facts.files} files was planned",
    Removal.Begun: lambda facts: "its files come back" if facts.undo else "its files go",
    Removal.CarriedOut: lambda facts: f"{facts.files} files are removed, {facts.refused} were refused",
    Removal.Undone: lambda facts: f"{facts.files} files are back, {facts.lost_files} have lost replicas",
    Removal.Purged: lambda facts: f"the removal is final: {facts.replicas} replicas go",
    Removal.Forgotten: lambda facts: "nobody carried the plan out",
    Check.Begun: lambda facts: f"{facts.se} is compared with the catalogue, below {facts.path}",
    Check.Found: lambda facts: f"{len(facts.findings)} divergences were found",
    Check.Ended: lambda facts: f"{facts.listed} files were listed, {facts.known} are in the catalogue",
    Request.Made: lambda facts: (
        f"to be done with {len(facts.lfns)} files: "
        + ", then ".join(f"{each.verb}{' at ' + each.se if each.se else ''}" for each in facts.operations)
    ),
    Request.RoundBegun: lambda facts: "it is tried",
    Request.Progressed: lambda facts: (
        f"{len(facts.done)} files are done, {len(facts.failed)} failed, {len(facts.waiting)} have to wait"
        + "".join(f"; {lfn}: {why}" for lfn, why in list({**facts.failed, **facts.waiting}.items())[:1])
    ),
    Request.Advanced: lambda facts: f"operation {facts.operation + 1} begins",
    Request.Ended: lambda facts: f"the request is {facts.status}" + (f": {facts.detail}" if facts.detail else ""),
    Quota.Set: lambda facts: f"the quota is {facts.most_bytes} bytes, {facts.most_files} files",
}
