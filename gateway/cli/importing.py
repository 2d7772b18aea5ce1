"""A foreign configuration becomes ours: what was taken where, and a report of what was not understood."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from domain.problems import alike
from domain.registry import PROPERTIES
from domain.tree import Tree, leaves, pointer

Convert = Callable[[Any], Any]
TRUE = frozenset({"true", "yes", "y", "1", "on"})


class Note(NamedTuple):
    """Something that was left out or changed, and why."""

    place: str
    problem: str


class Source:
    """A foreign document. What is asked for counts as understood; the rest is the report."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.notes: list[Note] = []
        self._used: set[tuple[str, ...]] = set()

    def get(self, *path: str) -> Any:
        """What stands there; it counts as understood."""
        self._used.add(path)
        return self._at(path)

    def sections(self, *path: str) -> list[str]:
        """The names of the sections there."""
        found = self._at(path)
        return [str(name) for name, part in found.items() if isinstance(part, dict)] if isinstance(found, dict) else []

    def names(self, *path: str) -> list[str]:
        """The names of everything there."""
        found = self._at(path)
        return [str(name) for name in found] if isinstance(found, dict) else []

    def take(self, target: Tree, rules: Iterable[tuple[str, str, Convert]], *path: str) -> None:
        """Copy options below a section into `target`: (their place, our place, how to read it)."""
        for theirs, ours, convert in rules:
            where = (*path, *theirs.split("/"))
            if (found := self._at(where)) is None or isinstance(found, dict):
                continue
            try:
                value = convert(self.get(*where))
            except (ValueError, TypeError) as fault:
                self.note(where, f"not understood: {fault}")
                continue
            if value is not None:
                put(target, ours.split("/"), value)

    def note(self, path: Iterable[str], problem: str) -> None:
        """Something for the report."""
        self.notes.append(Note(pointer(*path), problem))

    def properties(self, given: Iterable[str], path: tuple[str, ...]) -> list[str]:
        """Those that there are; the others are told."""
        known = []
        for name in given:
            if name in PROPERTIES:
                known.append(name)
            else:
                meant = alike(name, PROPERTIES)
                self.note(path, f"there is no property {name}" + (f", did you mean {meant}?" if meant else ""))
        return known

    def report(self) -> list[Note]:
        """Everything that was not understood."""
        rest: dict[str, int] = {}
        for path, _ in leaves(self.tree):
            if any(path[:length] in self._used for length in range(1, len(path) + 1)):
                continue
            short = pointer(*path[:6])
            rest[short] = rest.get(short, 0) + 1
        return [*self.notes, *(Note(place, "not understood, left out") for place in sorted(rest))]

    def _at(self, path: tuple[str, ...]) -> Any:
        found: Any = self.tree
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found


def put(tree: Tree, path: Iterable[str], value: Any) -> None:
    """Set a value, with the sections on the way to it."""
    *way, last = path
    for name in way:
        tree = tree.setdefault(name, {})
    tree[last] = value


def text(value: Any) -> str | None:
    """A text; nothing for an empty one."""
    return str(value) if value not in (None, "") else None


def whole(value: Any) -> int:
    """A number."""
    return round(float(value))


def real(value: Any) -> float:
    """A number with a fraction."""
    return float(value)


def flag(value: Any) -> bool:
    """A yes or no."""
    return value if isinstance(value, bool) else str(value).strip().lower() in TRUE


def many(value: Any) -> list[str]:
    """A list, also one of names with commas."""
    if isinstance(value, list | tuple | set):
        return [str(each) for each in value]
    return [part.strip() for part in str(value).split(",") if part.strip()]


def way(value: Any) -> str:
    """How input data are read, by the name of a module."""
    name = str(value).rpartition(".")[2].lower()
    if "protocol" in name:
        return "protocol"
    if "download" in name:
        return "download"
    raise ValueError(f"expected a module for downloads or protocols, not {value}")


JOB_DESCRIPTION = (
    ("DefaultCPUTime", "default_cpu_time", whole), ("MinCPUTime", "min_cpu_time", whole),
    ("MaxCPUTime", "max_cpu_time", whole), ("DefaultPriority", "default_priority", whole),
    ("MinPriority", "min_priority", whole), ("MaxPriority", "max_priority", whole),
    ("MaxInputData", "max_input_data", whole), ("AllowedJobTypes", "job_types", many),
    ("MaxParametricJobs", "max_jobs", whole),
)  # fmt: skip
GROUP = (
    ("JobShare", "job_share", real), ("Quota", "quota", whole), ("VOMSRole", "voms_role", text),
    ("AllowBackgroundTQs", "allow_background_tqs", flag), ("AutoAddVOMS", "auto_add_voms", flag),
    ("AutoUploadProxy", "auto_upload_proxy", flag), ("AutoUploadPilotProxy", "auto_upload_pilot_proxy", flag),
    ("AutoSyncVOMS", "auto_sync_voms", flag),
)  # fmt: skip
OPERATIONS = (
    *((f"JobDescription/{a}", f"job_description/{b}", c) for a, b, c in JOB_DESCRIPTION),
    ("Services/JobMonitoring/GlobalJobsInfo", "services/global_jobs_info", flag),
    ("Services/JobScheduling/MaxRescheduling", "job_scheduling/max_rescheduling", whole),
    ("Services/JobScheduling/EnableSharesCorrection", "job_scheduling/enable_shares_correction", flag),
    ("JobScheduling/MaxRescheduling", "job_scheduling/max_rescheduling", whole),
    ("JobScheduling/EnableSharesCorrection", "job_scheduling/enable_shares_correction", flag),
    ("JobScheduling/CheckJobLimits", "job_scheduling/check_job_limits", flag),
    ("JobScheduling/CheckMatchingDelay", "job_scheduling/check_matching_delay", flag),
    ("JobScheduling/taskQueueCPUTimeIntervals", "job_scheduling/cpu_time_segments",
     lambda value: sorted({int(each) for each in many(value)})),
    ("InputDataPolicy/Default", "input_data_policy/default", way),
    ("InputDataPolicy/AllReplicas", "input_data_policy/all_replicas", flag),
    ("InputDataPolicy/Protocols/Remote", "input_data_policy/protocols_remote", many),
    ("InputDataPolicy/Protocols/Local", "input_data_policy/protocols_local", many),
    ("Pilot/GenericPilotGroup", "pilots/group", text),
    ("DataManagement/AccessProtocols", "data_management/access_protocols", many),
    ("DataManagement/WriteProtocols", "data_management/write_protocols", many),
    ("DataManagement/ThirdPartyProtocols", "data_management/third_party_protocols", many),
    ("EMail/Production", "notification/production", many), ("EMail/Logging", "notification/alarms", many),
)  # fmt: skip


def operations(source: Source, *path: str) -> Tree:
    """One section of Operations, of both kinds of configuration."""
    ours: Tree = {}
    source.take(ours, OPERATIONS, *path)
    for role in source.sections(*path, "Shifter"):
        rules = (("User", f"shifters/{role}/user", text), ("Group", f"shifters/{role}/group", text))
        source.take(ours, rules, *path, "Shifter", role)
    for site in source.names(*path, "InputDataPolicy"):
        if "." in site:
            source.take(ours, ((site, f"input_data_policy/sites/{site}", way),), *path, "InputDataPolicy")
    return ours


def compatible(source: Source, document: Tree, *path: str) -> None:
    """OSCompatibility, the same in both."""
    for name in source.names(*path):
        put(document, ("resources", "os_compatibility", name), [each for each in many(source.get(*path, name))
                                                                if each != name])  # fmt: skip
