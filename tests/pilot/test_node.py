"""What a machine offers, read from files as different machines have them."""

import os
from pathlib import Path

import pytest

from pilot import node, options
from pilot.calls import Pauses
from pilot.calls import _retry_after as retry_after
from pilot.watchdog import Limits, Table, Watchdog, disk_used, process_of


def tree(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.parametrize(
    ("membership", "files", "processors"),
    [
        ("", {}, 8),
        ("0::/slot/7\n", {"slot/7/cpu.max": "300000 100000\n"}, 3),
        ("0::/slot/7\n", {"slot/7/cpu.max": "max 100000\n", "slot/cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("3:cpu,cpuacct:/b\n", {"cpu/b/cpu.cfs_quota_us": "450000\n", "cpu/b/cpu.cfs_period_us": "100000\n"}, 4),
        ("3:cpu:/b\n", {"cpu/b/cpu.cfs_quota_us": "-1\n", "cpu/b/cpu.cfs_period_us": "100000\n"}, 8),
        ("3:cpu:/b\n", {"memory/b/cpu.max": "100000 100000\n"}, 8),
    ],
)
def test_processors_are_cut_by_control_groups(
    membership: str, files: dict[str, str], processors: int, tmp_path: Path
) -> None:
    root = tree(tmp_path / "cgroup", files) if files else str(tmp_path)
    (tmp_path / "self").write_text(membership)
    assert node.count_processors(root, str(tmp_path / "self")) == processors


def test_memory_is_cut_by_control_groups(tmp_path: Path) -> None:
    (tmp_path / "self").write_text("0::/slot\n4:memory:/b\n")
    whole = node.count_memory(str(tmp_path / "none"), str(tmp_path / "self"))
    assert whole > 100
    root = tree(tmp_path / "cgroup", {"slot/memory.max": str(64 * node.MIB)})
    assert node.count_memory(root, str(tmp_path / "self")) == 64
    tree(tmp_path / "cgroup", {"memory/b/memory.limit_in_bytes": str(32 * node.MIB)})
    assert node.count_memory(root, str(tmp_path / "self")) == 32
    tree(tmp_path / "cgroup", {"memory/b/memory.limit_in_bytes": str(2**63 - 4096), "slot/memory.max": "max"})
    assert node.count_memory(root, str(tmp_path / "self")) == whole


def test_accelerators_are_those_the_batch_system_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, count in (("0,3", 2), ("", 0), ("NoDevFiles", 0), ("GPU-1f", 1)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert node.count_gpus() == count


def test_a_machine_is_measured_where_nothing_was_told(tmp_path: Path) -> None:
    measured = node.look(str(tmp_path), ["x"])
    assert measured.processors >= 1 and measured.memory_mb > 100 and measured.disk_mb > 0
    assert 0.1 < measured.cpu_power < 200 and measured.tags == ["x"]
    told = node.look(str(tmp_path), [], processors=3, memory_mb=5, cpu_power=2.5)
    assert (told.processors, told.memory_mb, told.cpu_power) == (3, 5, 2.5)


def test_pauses_grow_up_to_a_bound_and_keep_to_what_the_server_asks() -> None:
    pauses = Pauses(lambda: 30)
    waits = [pauses.next() for _ in range(40)]
    assert 0.5 <= waits[0] <= 1 and waits[3] >= 4 and 30 <= waits[-1] <= 60
    assert len(set(waits[20:])) > 10
    assert pauses.next(90) == 90
    assert pauses.next(10**9) == 300


def test_a_time_to_come_back_is_read_in_both_forms() -> None:
    assert (retry_after("7"), retry_after(None), retry_after("soon")) == (7, None, None)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (retry_after("Wed, 21 Oct 2099 07:28:00 GMT") or 0) > 10**8


def test_the_secret_comes_from_a_file_or_leaves_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = ["--url", "http://x/", "--vo", "v", "--stamp", "../s", "--site", "S", "--work-dir", str(tmp_path)]
    monkeypatch.setenv("SPINOR_PILOT_SECRET", "one")
    told = options.read(needed)
    assert told.secret == "one" and "SPINOR_PILOT_SECRET" not in os.environ
    assert told.home == str(tmp_path / "pilot-.._s") and told.url == "http://x"
    (tmp_path / "secret").write_text("two\n")
    assert options.read([*needed, "--secret-file", str(tmp_path / "secret")]).secret == "two"
    with pytest.raises(SystemExit):
        options.read(needed)
    assert "SPINOR_PILOT_SECRET" in capsys.readouterr().err


def test_a_watchdog_measures_and_names_the_broken_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * node.MIB)
    assert 0.9 < disk_used(str(tmp_path)) < 1.5

    def verdict(**limits: float) -> str | None:
        return Watchdog(os.getpid(), str(tmp_path), Limits(**limits), Table()).look(with_disk=True)

    me = process_of(os.getpid())
    assert me is not None and me.rss > node.MIB
    assert verdict(disk_mb=0.5) == "disk-full"
    assert verdict(wall=1e-9) == "wall-limit"
    assert verdict(disk_mb=100, wall=100, cpu=10**9) is None
