"""Checks that nobody else's package brings a folder named like one of ours: our import names are short words."""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = ("domain", "handlers", "projections", "gateway", "pilot", "infra")
QUESTION = "import importlib.metadata, json; print(json.dumps(importlib.metadata.packages_distributions()))"


def main() -> int:
    """Build the wheel, install it with all that it needs, and ask who owns which name; 1 if a name is shared."""
    with tempfile.TemporaryDirectory() as directory:
        owners = installed_owners(Path(directory))
    wrong = {name: owners.get(name, []) for name in OURS if owners.get(name) != ["spinor"]}
    for name, found in wrong.items():
        print(f"{name}: should belong to spinor alone, belongs to {', '.join(found) or 'nobody'}")
    return 1 if wrong else 0


def installed_owners(directory: Path) -> dict[str, list[str]]:
    """The distributions behind every import name in a fresh environment."""
    venv.create(directory / "venv", with_pip=True)
    python = str(directory / "venv/bin/python")
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(directory), str(ROOT)], check=True)
    wheel = str(next(directory.glob("spinor-*.whl")))
    subprocess.run([*pip, "install", "-r", str(ROOT / ".requirements.lock"), wheel], check=True)
    subprocess.run([*pip, "check"], check=True)
    told = subprocess.run([python, "-c", QUESTION], check=True, capture_output=True, text=True, cwd=directory).stdout
    return {name: sorted(set(owners)) for name, owners in json.loads(told).items()}


if __name__ == "__main__":
    sys.exit(main())
