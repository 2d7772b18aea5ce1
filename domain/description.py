"""A job as its owner describes it: every attribute, its spellings, and what it asks of the place where it runs."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from domain.fields import (
    Count,
    Environment,
    Extra,
    FileNames,
    Level,
    List,
    LocalName,
    Outputs,
    Places,
    Priority,
    Processors,
    Sandbox,
    Text,
    Words,
)
from domain.jdl import NAMES, OLD
from domain.requirements import UNBOUNDED, Requirements, segment

__all__ = ["JobDescription", "Requirements", "canonical", "compatible", "requirements", "spelled"]


class JobDescription(BaseModel):
    """One job. Times are normalised CPU seconds, memory is in megabytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, title="Job description")

    name: Annotated[Text, Field(max_length=128)] = "Unknown"
    executable: Text = ""
    arguments: Words = ""
    std_output: LocalName = "std.out"
    std_error: LocalName = "std.err"
    input_sandbox: Sandbox = ()
    output_sandbox: Outputs = ()
    input_data: FileNames = ()
    input_data_policy: Text = ""
    input_data_module: Text = ""
    disable_data_scheduling: bool = False
    output_data: List = ()
    output_se: List = ()
    output_path: Text = ""
    sites: Places = ()
    banned_sites: List = ()
    ces: Places = ()
    platforms: Places = ()
    cpu_time: Count = 86400
    priority: Priority = 1
    job_type: Annotated[Text, Field(min_length=1, max_length=32)] = "User"
    job_group: Annotated[Text, Field(max_length=32)] = "00000000"
    processors: Processors = 1
    min_processors: Processors | None = None
    max_processors: Processors | None = None
    whole_node: bool = False
    gpus: Count = 0
    min_ram_mb: Count = 0
    max_ram_mb: Count = 0
    tags: List = ()
    environment: Environment = {}
    log_level: Level = "INFO"
    job_config_args: Text = ""
    software_dist_module: Text = ""
    job_path: List = ()
    memory_mb: Count = 0
    processing_type: Text = ""
    disable_cpu_check: bool = False
    stop_sig_regex: Text = ""
    stop_sig_number: Annotated[int, Field(ge=1, le=64)] = 2
    stop_sig_start_work: Count = 0
    stop_sig_finish_work: Count = 0
    owner: Text = ""
    owner_group: Text = ""
    vo: Text = ""
    extra: Extra = {}


IDENTITY = frozenset({"owner", "owner_group", "vo"})  # checked against who asks, then left to the credential
DEFAULTS = {name: field.default for name, field in JobDescription.model_fields.items()}
FIELDS = frozenset(DEFAULTS)
# every accepted spelling, in lower case -> field
KNOWN = {jdl.lower(): field for jdl, field in NAMES.items()}
KNOWN |= {old.lower(): NAMES[new] for old, new in OLD.items()} | {field: field for field in FIELDS}


def compatible(wanted: tuple[str, ...], platforms: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The DIRAC platforms that can run any of the wanted ones; each platform runs itself."""
    if not platforms:
        return wanted
    return tuple(name for name, runs in platforms.items() if any(each == name or each in runs for each in wanted))


def requirements(job: JobDescription, platforms: Mapping[str, frozenset[str]] | None = None) -> Requirements:
    """What matching looks at; `platforms` says which platform runs what (see Limits)."""
    least, most = job.processors, job.processors
    if job.min_processors or job.max_processors:
        least, most = job.min_processors or 1, job.max_processors or UNBOUNDED
    return Requirements(
        cpu_time=segment(job.cpu_time),
        sites=tuple(sorted(set(job.sites) - set(job.banned_sites))) if job.sites else (),
        banned_sites=_sorted(job.banned_sites),
        platforms=_sorted(compatible(job.platforms, platforms or {})),
        tags=_sorted(job.tags),
        ces=_sorted(job.ces),
        min_processors=least,
        max_processors=most,
        whole_node=job.whole_node,
        gpus=job.gpus,
        min_ram_mb=job.min_ram_mb,
        max_ram_mb=job.max_ram_mb,
        job_type=job.job_type,
    )


def _sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(names)) if len(names) > 1 else names


def spelled(job: JobDescription) -> dict[str, Any]:
    """The same as `canonical` in the names and forms of JDL."""
    fields = canonical(job)
    attributes = {name: fields[field] for name, field in NAMES.items() if field in fields}
    if job.environment:
        attributes["ExecutionEnvironment"] = [f"{name}={quote(value)}" for name, value in job.environment.items()]
    return attributes | job.extra


def canonical(job: JobDescription) -> dict[str, Any]:
    """The fields that differ from their defaults, without who submits."""
    values = job.__dict__
    return {name: values[name] for name in job.model_fields_set - IDENTITY if values[name] != DEFAULTS[name]}
