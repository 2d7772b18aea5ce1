"""What the pilot was told: command line, environment, and the secret that is taken out of the environment."""

import argparse
import os
import re
from typing import List, NamedTuple, Optional


class Options(NamedTuple):
    """Everything the pilot was told; times in seconds, memory in MiB."""

    url: str
    vo: str
    stamp: str
    secret: str
    site: str
    ce: str
    queue: str
    tags: List[str]
    processors: Optional[int]
    memory_mb: Optional[int]
    disk_mb: Optional[int]
    cpu_power: Optional[float]
    work_dir: str
    idle_exit: float
    max_jobs: int
    wait: float
    slot: float
    grace: float
    ca_file: Optional[str]

    @property
    def home(self) -> str:
        """The directory of this pilot below the work directory; a second start with the same stamp finds it again."""
        return os.path.join(self.work_dir, "pilot-" + re.sub(r"[^A-Za-z0-9._-]", "_", self.stamp))


def read(arguments: Optional[List[str]] = None) -> Options:
    """Options from the command line; SystemExit 2 for what makes no sense."""
    parser = _parser()
    told = vars(parser.parse_args(arguments))
    told["secret"] = _secret(parser, told.pop("secret_file"))
    told["tags"] = [tag.strip() for tag in told["tags"].split(",") if tag.strip()]
    told["work_dir"] = os.path.abspath(told["work_dir"])
    told["url"] = told["url"].rstrip("/")
    return Options(**told)


def _secret(parser: argparse.ArgumentParser, secret_file: Optional[str]) -> str:
    secret = os.environ.pop("SPINOR_PILOT_SECRET", "")
    if secret_file:
        try:
            with open(secret_file) as file:
                secret = file.read().strip()
        except OSError as error:
            parser.error("--secret-file: {}".format(error))
    if not secret:
        parser.error("no secret: set SPINOR_PILOT_SECRET or give --secret-file")
    return secret


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pilot.pyz", description="Asks for jobs, runs them, reports.")
    add = parser.add_argument
    add("--url", required=True, help="address of the gateway")
    add("--vo", required=True, help="virtual organisation the pilot works for")
    add("--stamp", required=True, help="the name under which this pilot was submitted")
    add("--site", required=True)
    add("--ce", default="", help="computing element")
    add("--queue", default="")
    add("--secret-file", help="file with the secret, instead of SPINOR_PILOT_SECRET")
    add("--tags", default="", help="what this machine offers besides, comma separated")
    add("--processors", type=int, help="default: what this machine and its control group allow")
    add("--memory-mb", type=int, help="default: what this machine and its control group allow")
    add("--disk-mb", type=int, help="what all payloads together may use; default: what is free")
    add("--cpu-power", type=float, help="default: measured at the start")
    add("--work-dir", default=".", metavar="DIR", help="default: here")
    add("--idle-exit", type=float, default=600, metavar="SECONDS", help="end after this time without a job")
    add("--max-jobs", type=int, default=0, metavar="N", help="end after N jobs; 0: no limit")
    add("--wait", type=float, default=50, metavar="SECONDS", help="how long one offer may wait, at most 50")
    add("--slot-seconds", dest="slot", type=float, default=259200, help="length of the batch slot from now on")
    add("--grace", type=float, default=10, metavar="SECONDS", help="between TERM and KILL")
    add("--ca-file", help="certificates to trust besides those of the system")
    return parser
