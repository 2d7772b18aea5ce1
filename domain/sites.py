"""Resources: sites with their computing elements and queues, storage elements, file catalogs, platforms.

They are those of the installation; `vos` says who may use one (empty: everybody), and a VO may change numbers for
itself in its section of `overrides`.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from domain.section import (
    Count,
    Free,
    Host,
    Line,
    Mail,
    Megabytes,
    Name,
    Names,
    Positive,
    Seconds,
    Section,
    SiteName,
    Url,
    Variable,
    Vos,
)

CeType = Literal["ARC", "AREX", "Cloud", "HTCondorCE", "Local", "PBS", "SLURM", "SSH", "Vacuum"]
S = TypeVar("S", "Site", "ComputingElement", "Queue", "StorageElement", "Catalog")


class Slots(Section):
    """What a computing element or a queue has to give; what a queue does not say, its computing element says."""

    vos: Vos = Field(default=(), description="VOs that may use it; empty: all")
    enabled: bool = Field(default=True, description="whether pilots are sent there")
    processors: Positive | None = Field(default=None, description="processors of one slot")
    memory_mb: Megabytes | None = Field(default=None, description="MB of one slot")
    gpus: Count | None = Field(default=None, description="GPUs of one slot")
    whole_node: bool | None = Field(default=None, description="whether a slot is a whole node")
    tags: Names = Field(default=(), description="what it offers beyond the ordinary")
    required_tags: Names = Field(default=(), description="only jobs that ask for these")
    platform: Line | None = Field(default=None, description="platform of its nodes, such as el9-x86_64")


class Queue(Slots):
    """A queue of a computing element."""

    max_cpu_time: Seconds | None = Field(default=None, description="normalised seconds a slot lasts")
    max_wall_time: Seconds | None = Field(default=None, description="seconds a slot lasts")
    benchmark: float = Field(
        default=10.0, gt=0, le=1000, description="HS06 or HEPscore of one processor; 10: DIRAC's si00 2500"
    )
    max_waiting: Count | None = Field(default=None, description="pilots that wait at once")
    max_total: Count | None = Field(default=None, description="pilots at once")
    extra: Free = Field(default={}, description="options of the batch system")


class ComputingElement(Slots):
    """A computing element."""

    type: CeType = Field(description="how pilots are sent there")
    endpoint: Line = Field(default="", description="host:port or URL, where it is not the name itself")
    audience: Line = Field(default="", description="audience of tokens for it; empty: its endpoint")
    queues: dict[Name, Queue] = Field(default={}, description="queues by name")
    extra: Free = Field(default={}, description="options of its type")


class Site(Section):
    """A site."""

    vos: Vos = Field(default=(), description="VOs that may use it; empty: all")
    description: Line = Field(default="", description="for people")
    country: Line = Field(default="", description="for maps and reports")
    coordinates: Line = Field(default="", description="longitude:latitude in degrees")
    mail: Mail | None = Field(default=None, description="mail address of its people")
    tier: Annotated[int, Field(ge=0, le=3)] | None = Field(default=None, description="WLCG tier")
    storage_elements: Names = Field(default=(), description="storage elements nearby, best first for its jobs")
    ces: dict[Host, ComputingElement] = Field(default={}, description="computing elements by host name")
    extra: Free = Field(default={}, description="options of extensions")


class Access(Section):
    """One way to a storage element."""

    protocol: Name = Field(description="https, root, file, …")
    url: Line = Field(description="where the files of the storage element lie")
    reading: bool = Field(default=True, description="whether it is used for reading")
    writing: bool = Field(default=True, description="whether it is used for writing")


class StorageElement(Section):
    """A place where files are kept."""

    vos: Vos = Field(default=(), description="VOs that may use it; empty: all")
    description: Line = Field(default="", description="for people")
    backend: Literal["disk", "tape", "s3", "local"] = Field(default="disk", description="what is behind it")
    access: tuple[Access, ...] = Field(default=(), max_length=32, description="ways to it, best first")
    checksum: Literal["adler32", "md5", "sha256", "none"] = Field(
        default="adler32", description="how its files are checked"
    )
    reserve_bytes: Count = Field(default=0, description="bytes that stay free")
    key_env: Variable = Field(default="", description="environment variable with its access key; never the key")
    secret_env: Variable = Field(default="", description="environment variable with its secret; never the secret")
    extra: Free = Field(default={}, description="options of its backend")


class Catalog(Section):
    """A file catalog."""

    vos: Vos = Field(default=(), description="VOs that may use it; empty: all")
    type: Literal["spinor", "rucio"] = Field(default="spinor", description="what it is")
    url: Url | None = Field(default=None, description="where it is, unless it is our own")
    master: bool = Field(default=False, description="whether it decides when catalogs disagree")
    extra: Free = Field(default={}, description="options of its type")


class Resources(Section):
    """All sites, storage elements and catalogs."""

    sites: dict[SiteName, Site] = Field(default={}, description="sites by name: Grid.Name.country, or one word")
    storage_elements: dict[Name, StorageElement] = Field(default={}, description="storage elements by name")
    storage_groups: dict[Name, Names] = Field(default={}, description="storage elements that are named together")
    catalogs: dict[Name, Catalog] = Field(default={}, description="file catalogs by name")
    os_compatibility: dict[Name, Names] = Field(
        default={}, description="platform → platforms whose programs it can run"
    )

    def queues(self) -> Iterator[tuple[str, Site, str, ComputingElement, str, Queue]]:
        """Every queue with where it is."""
        for site_name, site in self.sites.items():
            for ce_name, ce in site.ces.items():
                for name, queue in ce.queues.items():
                    yield site_name, site, ce_name, ce, name, queue

    @property
    def platforms(self) -> dict[str, frozenset[str]]:
        """Platform → platforms whose programs it can run, itself among them."""
        return {name: frozenset({name, *others}) for name, others in self.os_compatibility.items()}


def open_to(part: Site | ComputingElement | Queue | StorageElement | Catalog, vo: str) -> bool:
    """Whether a VO may use it."""
    return not part.vos or vo in part.vos


def effective(ce: ComputingElement, queue: Queue) -> Queue:
    """The queue with what its computing element says where it says nothing; tags of both together."""
    inherited = {
        name: getattr(ce, name)
        for name in ("processors", "memory_mb", "gpus", "whole_node", "platform")
        if getattr(queue, name) is None
    }
    both = {name: tuple(sorted({*getattr(ce, name), *getattr(queue, name)})) for name in ("tags", "required_tags")}
    return queue.model_copy(update={**inherited, **both, "enabled": ce.enabled and queue.enabled})


def of_vo(resources: Resources, vo: str) -> Resources:
    """What a VO may use: sites, computing elements and queues whose lists allow it."""

    def allowed(parts: dict[str, S]) -> dict[str, S]:
        return {name: part for name, part in parts.items() if open_to(part, vo)}

    sites = {}
    for name, site in allowed(resources.sites).items():
        ces = {host: ce.model_copy(update={"queues": allowed(ce.queues)}) for host, ce in allowed(site.ces).items()}
        sites[name] = site.model_copy(update={"ces": ces})
    storages, catalogs = allowed(resources.storage_elements), allowed(resources.catalogs)
    return resources.model_copy(update={"sites": sites, "storage_elements": storages, "catalogs": catalogs})
