"""Under which logical names a job's output files are kept: only those that its owner described.

A name `LFN:/…` is kept as it is. A local file is kept in the output path: below the home of the owner unless it begins
with `LFN:` or with the VO's own root `/vo/`, by default in a directory of the job.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from domain.data.names import check_file
from domain.errors import Code, Refused

LFN = "LFN:"
FAILOVER = "another storage element took it"
_STRANGE = re.compile(r"[^A-Za-z0-9_.+=,:@~-]")


def output_name(described: dict[str, Any], vo: str, owner: str, job: int, name: str) -> str:
    """The logical name of an output that the job calls `name`.

    Raises:
        Refused: FORBIDDEN, the job's description knows no such output; FILE_NAME.
    """
    wanted: Sequence[str] = described.get("output_data") or ()
    if name.startswith(LFN):
        if name not in wanted:
            raise Refused(Code.FORBIDDEN, right=f"an output that the job describes, not {name[:200]}")
        return check_file(vo, name.removeprefix(LFN))
    if not any(fnmatchcase(name, pattern.removeprefix("./")) for pattern in wanted if not pattern.startswith(LFN)):
        raise Refused(Code.FORBIDDEN, right=f"an output that the job describes, not {name[:200]}")
    return check_file(vo, f"{_directory(described.get('output_path') or '', vo, owner, job)}/{name.rpartition('/')[2]}")


def _directory(path: str, vo: str, owner: str, job: int) -> str:
    if path.startswith((LFN, f"/{vo}/")):
        return path.removeprefix(LFN).rstrip("/")
    plain = _STRANGE.sub("_", owner).lstrip("-.") or "nobody"
    below = path.strip("/") or f"{job // 1000}/{job}"
    return f"/{vo}/user/{plain[0].lower()}/{plain}/{below}"
