"""How a payload is started: its command, its environment without our credentials, and its output files."""

import os
import shlex
import shutil
import subprocess
import sys
from typing import IO, Any, Callable, Dict, List, NamedTuple, Tuple

from pilot.sandbox import inside

# Beginnings of names that a payload does not inherit.
CREDENTIALS = ("SPINOR_PILOT", "SPINOR_JOB_TOKEN", "SPINOR_TOKEN", "X509_USER", "BEARER_TOKEN")
Description = Dict[str, Any]


class Missing(Exception):
    """There is nothing to execute."""


class Output(NamedTuple):
    """The files of standard output and error, relative to the work directory; they may be one file."""

    stdout: str
    stderr: str


def command(description: Description, work: str) -> List[str]:
    """What to execute: a file from the sandbox first, then the machine's. Raises Missing."""
    arguments = description.get("arguments") or []
    return _program(str(description.get("executable") or ""), work) + _words(arguments)


def environment(description: Description, ours: Dict[str, str], secret: Callable[[str], bool]) -> Dict[str, str]:
    """The payload's environment: this machine's without credentials, then what the user asked for, then ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CREDENTIALS) and not secret(value)}
    asked = {str(name): str(value) for name, value in (description.get("environment") or {}).items()}
    return dict(kept, **dict(asked, **ours))


def output(description: Description, work: str) -> Output:
    """Where standard output and error go; a name that leads out of the work directory loses its path."""
    return Output(
        _safe(description.get("std_output") or "std.out", work), _safe(description.get("std_error") or "std.err", work)
    )


def start(words: List[str], variables: Dict[str, str], work: str, files: Output) -> "subprocess.Popen[bytes]":
    """Start in a session and process group of its own. Raises OSError."""
    stdout, stderr = _open(files, work)
    with stdout, stderr:
        return subprocess.Popen(
            words,
            cwd=work,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            close_fds=True,
            start_new_session=True,
        )


def tail(path: str, size: int = 4096, lines: int = 20) -> str:
    """The last lines of a file, for people who watch."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - size))
            return "\n".join(file.read(size).decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _program(name: str, work: str) -> List[str]:
    own = inside(work, name)
    if name and own and os.path.isfile(own):
        os.chmod(own, os.stat(own).st_mode | 0o700)
        return _interpreter(own) + [own]
    found = name if os.path.isabs(name) else shutil.which(name) if "/" not in name and name else None
    if not found or not os.access(found, os.X_OK) or os.path.isdir(found):
        raise Missing(name)
    return [found]


def _interpreter(path: str) -> List[str]:
    """What runs a file that the kernel cannot start by itself."""
    with open(path, "rb") as file:
        begin = file.read(4)
    if begin[:2] == b"#!" or begin == b"\x7fELF":
        return []
    return [sys.executable or "python3"] if path.endswith(".py") else ["/bin/sh"]


def _words(arguments: Any) -> List[str]:
    if not isinstance(arguments, str):
        return [str(argument) for argument in arguments]
    try:
        return shlex.split(arguments)
    except ValueError:  # an odd quote: the user meant it literally
        return arguments.split()


def _safe(name: str, work: str) -> str:
    path = inside(work, name)
    return os.path.normpath(name) if path and not os.path.isdir(path) else os.path.basename(name) or "std.out"


def _open(files: Output, work: str) -> "Tuple[IO[bytes], IO[bytes]]":
    opened: List[IO[bytes]] = []
    for name in files:
        path = os.path.join(work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        opened.append(open(path, "ab" if opened and files.stdout == files.stderr else "wb"))
    return opened[0], opened[1]
