"""Sandboxes that attack, that are damaged, and that must come out the same twice; some through the real pilot."""

import io
import os
import tarfile
import time
from pathlib import Path

import pytest

from pilot import sandbox
from pilot.archive import TooLarge, Unreadable
from tests.pilot.conftest import Pilots
from tests.pilot.stub import Stub

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"x", mode: int = 0o644) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    return info, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def special(kind: bytes) -> Member:
    info = tarfile.TarInfo("thing")
    info.type = kind
    return info, b""


def packed(path: Path, members: list[Member], mode: str = "w:bz2") -> str:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return str(path)


HOSTILE = {
    "a path upwards": [file("../evil")],
    "a path upwards inside": [file("a/../../evil")],
    "an absolute path": [file("/tmp/evil")],
    "a link upwards": [link("out", "../..")],
    "a link upwards from a directory": [link("a/out", "../../x")],
    "an absolute link": [link("out", "/etc")],
    "a file through a link": [link("out", ".."), file("out/evil")],
    "links that lead out together": [link("c", "a/b/../.."), link("a/b", "..")],
    "a chain of links": [link("a/b", ".."), link("c", "a/b/../.."), file("c/evil")],
    "a hard link upwards": [link("passwd", "../../etc/passwd", tarfile.LNKTYPE)],
    "an absolute hard link": [link("passwd", "/etc/passwd", tarfile.LNKTYPE)],
    "a device": [special(tarfile.CHRTYPE)],
    "a pipe": [special(tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_leads_out_is_refused(members: list[Member], tmp_path: Path) -> None:
    root = tmp_path / "deep" / "root"
    root.mkdir(parents=True)
    archive = packed(tmp_path / "archive", [file("first"), *members])
    with pytest.raises((sandbox.Unsafe, Unreadable)):
        sandbox.unpack(archive, str(root), 1000)
    assert not Path("/tmp/evil").exists()
    assert [path for path in tmp_path.rglob("evil") if root not in path.parents] == []
    assert all((link.resolve() / "x").is_relative_to(root) for link in root.rglob("*") if link.is_symlink())
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "deep"}


def test_a_second_archive_does_not_write_through_the_links_of_the_first(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "out").symlink_to(outside)
    with pytest.raises(sandbox.Unsafe):
        sandbox.unpack(packed(tmp_path / "two", [file("out/evil")]), str(root), 1000)
    assert not list(outside.iterdir())


def test_a_file_replaces_a_link_instead_of_following_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.write_text("mine")
    (root / "out").symlink_to(outside)
    sandbox.unpack(packed(tmp_path / "two", [file("out", b"new")]), str(root), 1000)
    assert (outside.read_text(), (root / "out").read_text()) == ("mine", "new")


@pytest.mark.parametrize("mode", ["w:bz2", "w:gz", "w:xz", "w"])
def test_good_archives_are_unpacked_in_every_format(mode: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    members = [
        file("d/run.sh", b"#!", 0o6755), file("./x"), link("d/l", "../x"), link("d/h", "d/run.sh", tarfile.LNKTYPE),
    ]  # fmt: skip
    assert sandbox.unpack(packed(tmp_path / "a", members, mode), str(root), 1000) == 5  # a hard link is a copy
    assert (root / "d/h").read_text() == "#!" and (root / "d/l").read_text() == "x"
    assert (root / "d/run.sh").stat().st_mode & 0o7777 == 0o755


def test_an_archive_larger_than_the_room_is_refused_before_it_is_written(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(TooLarge):
        sandbox.unpack(packed(tmp_path / "a", [file("big", b"x" * 2000)]), str(root), 1000)
    assert not list(root.iterdir())


def test_noise_is_not_an_archive(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"noise" * 1000)
    with pytest.raises(Unreadable):
        sandbox.unpack(str(tmp_path / "a"), str(tmp_path), 1000)


def test_an_archive_that_is_cut_off_is_unreadable(tmp_path: Path) -> None:
    path = Path(packed(tmp_path / "a", [file("x", os.urandom(100000))]))
    path.write_bytes(path.read_bytes()[:50000])
    with pytest.raises(Unreadable):
        sandbox.unpack(str(path), str(tmp_path), 10**6)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    for number, names in enumerate((["b", "a/x"], ["a/x", "b"])):
        root = tmp_path / f"root{number}"
        (root / "a").mkdir(parents=True)
        for name in names:
            (root / name).write_text(name)
            os.utime(root / name, (number, time.time() + number))
        sandbox.pack(str(root), ["*"], [], str(tmp_path / f"packed{number}"))
    assert (tmp_path / "packed0").read_bytes() == (tmp_path / "packed1").read_bytes()


def test_only_what_was_asked_for_and_lies_inside_is_packed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    for name in ("a.log", "b.dat", "sub/deep/c.log", "std.out"):
        (root / name).write_text(name)
    (tmp_path / "private").write_text("p")
    (root / "out.log").symlink_to(tmp_path / "private")
    os.mkfifo(root / "pipe.log")
    patterns = ["*.log", "sub", "../private", "/etc/passwd", "nothing-*", "pipe.log"]
    missing = sandbox.pack(str(root), patterns, ["std.out", "std.err"], str(tmp_path / "packed"))
    assert missing == ["../private", "/etc/passwd", "nothing-*", "pipe.log"]
    with tarfile.open(tmp_path / "packed") as tar:
        assert tar.getnames() == ["a.log", "std.out", "sub", "sub/deep", "sub/deep/c.log"]


@pytest.mark.parametrize("members", [[file("../evil")], [link("x", "..")]], ids=["path", "link"])
def test_the_pilot_says_that_a_sandbox_is_hostile(gateway: Stub, pilots: Pilots, members: list[Member]) -> None:
    gateway.give(1, "/bin/true", [gateway.archive(members)])
    pilots.run("--max-jobs", "1")
    failed = gateway.final(1)
    assert (failed["code"], failed["reason"]) == ("sandbox-download", "unsafe")
    assert gateway.kinds(1) == ["started", "failed"]


def test_the_pilot_does_not_run_with_a_wrong_input(gateway: Stub, pilots: Pilots) -> None:
    wrongs: list[dict[str, object]] = [{"sha256": "0" * 64}, {"size": 3}, {"size": 10**6}]
    for job, wrong in enumerate(wrongs):
        gateway.give(job, "run.sh", [{**gateway.script("true")[0], **wrong}])
    pilots.run("--max-jobs", "3")
    assert [(gateway.final(job)["code"], gateway.final(job)["reason"]) for job in range(3)] == [
        ("sandbox-download", "wrong")
    ] * 3
