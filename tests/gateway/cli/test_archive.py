"""Sandboxes are packed the same way every time, and unpacked without trust."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import Code, Refused
from gateway.cli import archive
from gateway.cli.archive import Packed, pack, unpack


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "data" / "deep").mkdir(parents=True)
    (tree / "data" / "deep" / "numbers.txt").write_text("1 2 3")
    (tree / "data" / "empty").mkdir()
    (tree / "run.sh").write_text("#!/bin/sh\necho done\n")
    (tree / "run.sh").chmod(0o750)
    return tree


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Whatever is packed lies here."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    yield directory


def contents(packed: Packed) -> dict[str, int]:
    with tarfile.open(packed.path) as tar:
        return {member.name: member.mode for member in tar}


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:bz2") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    raw.seek(0)
    return raw


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_files_and_directories_come_back_as_they_were(tree: Path, tmp_path: Path) -> None:
    packed = pack([tree / "run.sh", tree / "data"])
    with packed.path.open("rb") as file:
        unpacked = unpack(file, tmp_path / "out")
    out = tmp_path / "out"
    assert unpacked.files == [out / "data/deep/numbers.txt", out / "run.sh"]
    assert (out / "data/deep/numbers.txt").read_text() == "1 2 3"
    assert (out / "data/empty").is_dir()
    assert (out / "run.sh").stat().st_mode & 0o777 == 0o755


def test_the_checksum_and_size_are_those_of_the_file(tree: Path) -> None:
    packed = pack([tree / "data"])
    data = packed.path.read_bytes()
    assert (packed.sha256, packed.size) == (hashlib.sha256(data).hexdigest(), len(data))


def test_equal_content_gives_equal_bytes(tree: Path) -> None:
    first = pack([tree / "run.sh", tree / "data"])
    os.utime(tree / "run.sh", (1, 1))
    (tree / "run.sh").chmod(0o711)
    second = pack([tree / "data", tree / "run.sh"])
    assert first.sha256 == second.sha256
    (tree / "run.sh").write_text("something else")
    assert pack([tree / "run.sh", tree / "data"]).sha256 != first.sha256


def test_the_directory_one_stands_in_has_a_name(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "data")
    assert set(contents(pack([Path()]))) == {"data", "data/deep", "data/deep/numbers.txt", "data/empty"}


def test_nothing_of_the_packer_is_in_the_archive(tree: Path) -> None:
    with tarfile.open(pack([tree]).path) as tar:
        assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in tar} == {
            (0, 0, "", "", 0)
        }


def test_linked_files_are_packed_as_files(tree: Path) -> None:
    (tree / "data" / "linked").symlink_to(tree / "run.sh")
    assert contents(pack([tree / "data"]))["data/linked"] == 0o755


@pytest.mark.parametrize("kind", ["missing", "same name", "circle", "pipe"])
def test_what_cannot_be_packed_is_named_and_leaves_nothing(tree: Path, temporary: Path, kind: str) -> None:
    paths = [tree]
    if kind == "missing":
        paths = [tree / "nowhere"]
    elif kind == "same name":
        paths = [tree / "data", tree / ".." / "tree" / "data"]
    elif kind == "circle":
        (tree / "data" / "up").symlink_to(tree)
    else:
        os.mkfifo(tree / "pipe")
    with pytest.raises(Refused) as refused:
        pack(paths)
    assert refused.value.code is Code.DESCRIPTION
    assert list(temporary.iterdir()) == []


def test_too_much_is_refused_and_leaves_nothing(tree: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LIMIT", 10_000)
    (tree / "noise").write_bytes(os.urandom(2_000_000))
    with pytest.raises(Refused) as refused:
        pack([tree])
    assert refused.value.code is Code.SANDBOX_TOO_LARGE
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..", "a/.."])
def test_an_archive_that_reaches_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused) as refused:
        unpack(tar_of((tarfile.TarInfo(name), b"evil")), tmp_path / "out")
    assert refused.value.code is Code.MALFORMED
    assert not list(tmp_path.rglob("evil"))


def test_links_and_devices_are_skipped_and_named(tmp_path: Path) -> None:
    device = link("null", "", tarfile.CHRTYPE)
    members = [(link("up", ".."), b""), (link("hard", "/etc/passwd", tarfile.LNKTYPE), b""), (device, b"")]
    unpacked = unpack(tar_of(*members, (tarfile.TarInfo("up/file"), b"inside")), tmp_path / "out")
    assert unpacked.skipped == ["up", "hard", "null"]
    assert unpacked.files == [tmp_path / "out/up/file"]


def test_a_link_that_is_there_already_is_not_followed_outside(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "logs").symlink_to(tmp_path)
    with pytest.raises(Refused):
        unpack(tar_of((tarfile.TarInfo("logs/evil"), b"evil")), tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_special_bits_are_not_unpacked(tmp_path: Path) -> None:
    member = tarfile.TarInfo("tool")
    member.mode = 0o6777
    unpack(tar_of((member, b"x")), tmp_path)
    assert (tmp_path / "tool").stat().st_mode & 0o7777 == 0o755


def test_a_small_archive_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_UNPACKED", 1_000_000)
    bomb = tar_of((tarfile.TarInfo("a"), bytes(900_000)), (tarfile.TarInfo("b"), bytes(200_000)))
    with pytest.raises(Refused) as refused:
        unpack(bomb, tmp_path / "out")
    assert refused.value.code is Code.TOO_LARGE
    assert not (tmp_path / "out" / "b").exists()


@pytest.mark.parametrize("cut", [0, 10, 60, None], ids=["empty", "head", "half", "no archive"])
def test_what_cannot_be_read_is_refused(tmp_path: Path, cut: int | None) -> None:
    data = tar_of((tarfile.TarInfo("a"), os.urandom(5000))).getvalue()
    with pytest.raises(Refused) as refused:
        unpack(io.BytesIO(b"no archive" * 500 if cut is None else data[: len(data) * cut // 100]), tmp_path / "out")
    assert refused.value.code is Code.MALFORMED


def test_a_name_with_a_zero_byte_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("plain")
    member.pax_headers = {"path": "a\0b"}
    with pytest.raises(Refused) as refused:
        unpack(tar_of((member, b"x")), tmp_path / "out")
    assert refused.value.code is Code.MALFORMED


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_announces_a_gigabyte_is_not_read(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("x")
    member.size, member.type = 1 << 30, kind
    with pytest.raises(Refused) as refused:
        unpack(io.BytesIO(member.tobuf(tarfile.GNU_FORMAT) + bytes(5 << 20)), tmp_path / "out")
    assert refused.value.code is Code.MALFORMED
    assert "header of 1073741824 bytes" in str(refused.value)


def test_very_many_files_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilot.archive.MEMBERS", 10)
    with pytest.raises(Refused) as refused:
        unpack(tar_of(*((tarfile.TarInfo(f"f{number}"), b"") for number in range(11))), tmp_path / "out")
    assert refused.value.code is Code.MALFORMED
    assert not list((tmp_path / "out").iterdir())
