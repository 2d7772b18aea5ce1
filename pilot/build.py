"""Packs the pilot into one file that any Python from 3.6 starts: `python3 pilot.pyz --url …`."""

import os
import sys
import zipfile
from typing import List

HERE = os.path.dirname(os.path.abspath(__file__))
START = b"import sys\n\nfrom pilot.__main__ import main\n\nsys.exit(main())\n"


def build(target: str, source: str = HERE) -> str:
    """Write the archive; the same sources give the same bytes. Returns target."""
    with open(target, "wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            _put(archive, "__main__.py", START)
            for name in _modules(source):
                with open(os.path.join(source, name), "rb") as module:
                    _put(archive, "pilot/" + name, module.read())
    os.chmod(target, 0o755)
    return target


def _modules(source: str) -> List[str]:
    return sorted(name for name in os.listdir(source) if name.endswith(".py") and name != "build.py")


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    archive.writestr(entry, content)


if __name__ == "__main__":
    sys.stdout.write(build(sys.argv[1] if len(sys.argv) > 1 else "pilot.pyz") + "\n")
