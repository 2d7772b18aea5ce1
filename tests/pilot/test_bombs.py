"""Archives that are small and become large: nothing of them takes the disk, the memory or the time of the machine."""

import bz2
import resource
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pilot import archive, sandbox
from pilot.archive import HEADERS, MEMBERS, TooLarge, Unreadable

MIB = 1 << 20
LIMIT = 50 * MIB
BLOCK = 512


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, linkname
    return info.tobuf(tarfile.GNU_FORMAT)


def bomb(path: Path, *parts: bytes) -> str:
    """A tar.bz2 of these blocks."""
    packer = bz2.BZ2Compressor()
    with path.open("wb") as file:
        for part in parts:
            file.write(packer.compress(part))
        file.write(packer.flush())
    return str(path)


def frugally(path: str, root: Path) -> None:
    """Unpack with little memory; what `unpack` raises, or MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 400 * MIB, hard))
    try:
        sandbox.unpack(path, str(root), LIMIT)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def used(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def test_hard_links_to_one_large_file(tmp_path: Path, root: Path) -> None:
    size = 10 * MIB
    links = b"".join(header(f"l{number}", kind=tarfile.LNKTYPE, linkname="big") for number in range(20))
    path = bomb(tmp_path / "a", header("big", size), bytes(size), links, bytes(2 * BLOCK))
    with pytest.raises(TooLarge):
        sandbox.unpack(path, str(root), LIMIT)
    assert used(root) <= LIMIT


def test_hard_links_through_a_link_that_leads_to_one_large_file(tmp_path: Path, root: Path) -> None:
    size = 10 * MIB
    links = header("s", kind=tarfile.SYMTYPE, linkname="big")
    links += b"".join(header(f"l{number}", kind=tarfile.LNKTYPE, linkname="s") for number in range(20))
    path = bomb(tmp_path / "a", links, header("big", size), bytes(size), bytes(2 * BLOCK))
    with pytest.raises((TooLarge, Unreadable, sandbox.Unsafe)):
        sandbox.unpack(path, str(root), LIMIT)
    assert used(root) <= LIMIT


def test_very_many_empty_files(tmp_path: Path, root: Path) -> None:
    one = header("x")
    path = bomb(tmp_path / "a", *(one * 1000 for _ in range(2 * MEMBERS // 1000)), bytes(2 * BLOCK))
    with pytest.raises(Unreadable):
        frugally(path, root)
    assert not list(root.iterdir())


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_announces_a_gigabyte(tmp_path: Path, root: Path, kind: bytes) -> None:
    size = 1 << 30
    path = bomb(tmp_path / "a", header("x", size, kind), *(bytes(MIB) for _ in range(64)))
    with pytest.raises(Unreadable):
        frugally(path, root)


def test_headers_without_end(tmp_path: Path, root: Path) -> None:
    size = 2 * MIB
    part = header("x", size, tarfile.GNUTYPE_LONGNAME) + b"a" * (size - 1) + b"\0" + header("y")
    path = bomb(tmp_path / "a", *(part for _ in range(HEADERS // size + 1)), bytes(2 * BLOCK))
    with pytest.raises(Unreadable):
        frugally(path, root)


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    seek = archive.Frugal.seek
    monkeypatch.setattr(archive.Frugal, "seek", lambda self, *where: read.append(where) or seek(self, *where))
    path = bomb(tmp_path / "a", header("big", 1 << 36), *(bytes(MIB) for _ in range(16)))
    with pytest.raises(TooLarge):
        sandbox.unpack(path, str(root), LIMIT)
    assert all(position < MIB for position, *_ in read)


def test_a_negative_size_makes_no_room_for_others(tmp_path: Path, root: Path) -> None:
    less = bytearray(header("less"))
    less[124:136] = b"\xff" * 8 + (-(10**9)).to_bytes(4, "big", signed=True)
    less[148:156] = b"        "
    less[148:156] = b"%06o\0 " % sum(less)
    path = bomb(tmp_path / "a", bytes(less), header("big", 60 * MIB), bytes(60 * MIB), bytes(2 * BLOCK))
    with pytest.raises((TooLarge, Unreadable, sandbox.Unsafe)):
        sandbox.unpack(path, str(root), LIMIT)
    assert used(root) <= LIMIT


@pytest.mark.skipif(not shutil.which("zstd"), reason="there is no zstd program")
def test_a_zstd_archive_does_not_fill_the_disk_before_it_is_looked_at(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "a"
    zeros = f"import sys\nfor _ in range(200): sys.stdout.buffer.write(bytes({MIB}))"
    with subprocess.Popen([sys.executable, "-c", zeros], stdout=subprocess.PIPE) as maker:
        subprocess.run(["zstd", "-q", "-o", str(path)], stdin=maker.stdout, check=True)
    with pytest.raises(TooLarge):
        sandbox.unpack(str(path), str(root), LIMIT)
    assert (tmp_path / "a.plain").stat().st_size <= LIMIT
