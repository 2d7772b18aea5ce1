"""The demonstration's payload is run as a worker node runs it: copied into a folder, by a bare interpreter."""

import gzip
import importlib
import json
import math
import random
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

from domain import jdl
from domain.submission import Item, Submission, read

DEMO = Path(__file__).parents[2] / "infra" / "demo"
PHYSICS = json.loads((DEMO / "physics.json").read_text("utf-8"))
SEEDS = ("1", "2", "3", "4", "5")
SVG = "{http://www.w3.org/2000/svg}"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """One payload in its sandbox, isolated from our packages and with the poorest locale."""
    environment = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    return subprocess.run([sys.executable, "-s", *command], cwd=folder, env=environment, capture_output=True,
                          encoding="utf-8", check=False)  # fmt: skip


def sandbox(folder: Path, description: str) -> Path:
    """The folder with what the input sandbox of this description names."""
    for name in jdl.parse((DEMO / description).read_text("utf-8"))["InputSandbox"]:
        shutil.copy(DEMO / name, folder)
    return folder


def submission(description: str) -> Submission:
    """The jobs of this description, none of them refused."""
    read_back = read((DEMO / description).read_text("utf-8"))
    assert read_back.rejected == []
    return read_back


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the outputs of all default seeds and the inputs of both payloads."""
    folder = sandbox(sandbox(tmp_path_factory.mktemp("production"), "production.jdl"), "merge.jdl")
    for seed in SEEDS:
        done = run(folder, "generate.py", seed, "20000")
        assert done.returncode == 0, done.stderr
        (folder / f"production-{seed}.out").write_text(done.stdout, "utf-8")
    return folder


@pytest.fixture(scope="module")
def merged(production: Path) -> Path:
    """The same folder after the merge."""
    done = run(production, "merge.py", *SEEDS)
    assert done.returncode == 0, done.stderr
    (production / "merge.out").write_text(done.stdout, "utf-8")
    return production


@pytest.fixture
def inputs(production: Path, tmp_path: Path) -> Path:
    """A copy of the production, to be damaged."""
    return shutil.copytree(production, tmp_path / "inputs")


@pytest.fixture
def merge(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The merge as a module, found beside its neighbours as in a sandbox."""
    monkeypatch.syspath_prepend(DEMO)
    return importlib.import_module("merge")


def pairs_of(path: Path) -> list[list[float]]:
    lines = gzip.decompress(path.read_bytes()).decode("ascii").splitlines()
    return [[float(value) for value in line.split(",")] for line in lines[2:]]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(production: Path, tmp_path: Path) -> None:
    run(sandbox(tmp_path, "production.jdl"), "generate.py", "1", "20000")
    again = (tmp_path / "muons-1.csv.gz").read_bytes()
    assert again == (production / "muons-1.csv.gz").read_bytes()
    assert pairs_of(production / "muons-1.csv.gz")[0] != pairs_of(production / "muons-2.csv.gz")[0]


def test_every_pair_passes_the_selection_and_half_of_them_do(production: Path) -> None:
    cuts = PHYSICS["selection"]
    for seed in SEEDS:
        pairs = pairs_of(production / f"muons-{seed}.csv.gz")
        assert 0.48 < len(pairs) / 20000 < 0.53
        assert all(
            min(pair[0], pair[3]) >= cuts["pt"] and max(abs(pair[1]), abs(pair[4])) <= cuts["eta"] for pair in pairs
        )


def test_the_masses_peak_at_the_z_and_the_azimuth_prefers_no_direction(production: Path, merge: ModuleType) -> None:
    pairs = [pair for seed in SEEDS for pair in pairs_of(production / f"muons-{seed}.csv.gz")]
    near = [mass for mass in map(merge.mass_of, pairs) if abs(mass - PHYSICS["z"]["mass"]) < 10]
    assert abs(math.fsum(near) / len(near) - PHYSICS["z"]["mass"]) < 0.15
    assert abs(math.fsum(math.cos(pair[2]) for pair in pairs) / len(pairs)) < 5 / math.sqrt(2 * len(pairs))


def test_the_summary_tells_what_was_generated_accepted_and_written(production: Path) -> None:
    summary = (production / "production-3.out").read_text("utf-8")
    count = len(pairs_of(production / "muons-3.csv.gz"))
    assert "seed 3" in summary
    assert f"accepted   {count} ({count / 20000:.1%})" in summary
    assert re.search(r"mean mass  9[01]\.\d\d GeV", summary)
    assert "muons-3.csv.gz" in summary


@pytest.mark.parametrize("arguments", [("x",), ("1", "0"), ()])
def test_generation_refuses_arguments_it_cannot_use(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run(sandbox(tmp_path, "production.jdl"), "generate.py", *arguments).returncode == 2


@pytest.mark.parametrize("content", [None, "{", "{}"])
@pytest.mark.parametrize("command", ["generate.py", "merge.py"])
def test_a_missing_or_broken_physics_file_is_named(inputs: Path, command: str, content: str | None) -> None:
    (inputs / "physics.json").unlink()
    if content is not None:
        (inputs / "physics.json").write_text(content, "utf-8")
    done = run(inputs, command, "1")
    assert (done.returncode, "physics.json cannot be used" in done.stderr) == (2, True)


def test_the_fitted_mass_agrees_with_the_truth_within_its_error(merged: Path) -> None:
    report = json.loads((merged / "fit.json").read_text("utf-8"))
    mass = report["fit"]["mass"]
    assert abs(mass["value"] - PHYSICS["z"]["mass"]) < mass["error"]
    assert 0.008 < mass["error"] < 0.016
    assert 0.6 < report["chi2"] / report["ndf"] < 1.5
    assert (report["seeds"], report["generated"]) == ([1, 2, 3, 4, 5], 100000)
    assert report["accepted"] == sum(len(pairs_of(merged / f"muons-{seed}.csv.gz")) for seed in SEEDS)


@pytest.mark.parametrize("injected", [90.2, 91.1876, 92.4])
def test_the_fit_finds_an_injected_mass_and_resolution(merge: ModuleType, injected: float) -> None:
    rng, truth = random.Random(8), [30000.0, injected, 0.012, 60.0, 0.003]
    means = merge.expected(truth, PHYSICS["z"], 76.0, 0.5, 60)
    counts = [max(0, round(rng.gauss(mean, math.sqrt(mean)))) for mean in means]
    fit = merge.fit_peak(merge.Histogram(76.0, 0.5, counts), PHYSICS["z"])
    for value, error, true in zip(fit.values, fit.errors, truth, strict=True):
        assert abs(value - true) < 3.5 * error


def test_the_fit_of_an_exact_spectrum_returns_its_parameters(merge: ModuleType) -> None:
    truth = [3e8, 91.0, 0.01, 4e5, 0.002]
    counts = [round(mean) for mean in merge.expected(truth, PHYSICS["z"], 76.0, 0.5, 60)]
    fit = merge.fit_peak(merge.Histogram(76.0, 0.5, counts), PHYSICS["z"])
    assert fit.values == pytest.approx(truth, rel=1e-4)
    assert fit.chi2 < 1.0


def test_the_quoted_errors_are_those_of_repeated_experiments(merge: ModuleType) -> None:
    rng, truth, pulls = random.Random(5), [5000.0, 91.2, 0.01, 20.0, 0.0], []
    means = merge.expected(truth, PHYSICS["z"], 76.0, 0.5, 60)
    for _ in range(40):
        counts = [max(0, round(rng.gauss(mean, math.sqrt(mean)))) for mean in means]
        fit = merge.fit_peak(merge.Histogram(76.0, 0.5, counts), PHYSICS["z"])
        pulls.append((fit.values[1] - truth[1]) / fit.errors[1])
    assert abs(math.fsum(pulls) / 40) < 0.5
    assert 0.7 < math.sqrt(math.fsum(pull * pull for pull in pulls) / 40) < 1.35


# ---- what is written


def test_the_picture_is_well_formed_and_described(merged: Path) -> None:
    root = ET.fromstring((merged / "dimuon.svg").read_text("utf-8"))
    ids = {element.get("id"): element for element in root.iter() if element.get("id")}
    label, description = (ids[name] for name in root.attrib["aria-labelledby"].split())
    report = json.loads((merged / "fit.json").read_text("utf-8"))
    assert root.tag == SVG + "svg"
    assert label.text == "Z → µ⁺µ⁻"
    assert f"{report['fit']['mass']['value']:.3f} ±" in (description.text or "")
    assert "prefers-color-scheme: dark" in (root.findtext(SVG + "style") or "")


def test_the_picture_shows_every_bin_inside_its_frame(merged: Path) -> None:
    root = ET.fromstring((merged / "dimuon.svg").read_text("utf-8"))
    places = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter(SVG + "circle")]
    assert len(places) == 2 * 60 + 1
    assert all(96 < x < 928 and 100 < y < 592 for x, y in places)
    words = " ".join(element.text or "" for element in root.iter(SVG + "text"))
    assert "invariant mass of µ⁺µ⁻ (GeV)" in words
    assert "muon pairs per 0.5 GeV" in words
    assert {"80", "85", "90", "95", "100", "105", "1,000"} <= set(words.split())


def test_the_text_fits_eighty_columns_and_is_what_the_job_prints(merged: Path) -> None:
    text = (merged / "dimuon.txt").read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 80
    assert text == (merged / "merge.out").read_text("utf-8")
    assert re.search(r"^fitted mass 91\.\d{3} ± 0\.\d{3} GeV \(world average 91\.188\)$", text, re.MULTILINE)
    bars = [line for line in text.splitlines() if "█" in line]
    assert max(bars, key=len).split()[0] in {"90.0", "91.0"}


# ---- inputs that cannot be used


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    lines = gzip.decompress(whole).splitlines(keepends=True)
    contents = {
        "cut off": whole[: len(whole) // 2],
        "empty": b"",
        "not compressed": b"".join(lines),
        "a byte changed": whole[:5000] + bytes([whole[5000] ^ 0xFF]) + whole[5001:],
        "a line missing": gzip.compress(b"".join(lines[:-1])),
        "no number": gzip.compress(b"".join([*lines[:-1], b"a,b,c,d,e,f\n"])),
        "not a number": gzip.compress(b"".join([*lines[:-1], b"30,nan,0,30,0,3\n"])),
        "a negative momentum": gzip.compress(b"".join([*lines[:-1], b"-30,0,0,30,0,3\n"])),
        "no mass can be that large": gzip.compress(b"".join([*lines[:-1], b"30,9999,0,30,0,3\n"])),
        "a column missing": gzip.compress(b"".join([*lines[:-1], b"1,2,3\n"])),
        "another file": gzip.compress(b"hello\n"),
        "another seed": path.with_name("muons-5.csv.gz").read_bytes(),
    }
    path.write_bytes(contents[how])


@pytest.mark.parametrize("how", ["cut off", "empty", "not compressed", "a byte changed", "a line missing", "no number",
                                 "not a number", "a negative momentum", "no mass can be that large",
                                 "a column missing", "another file", "another seed"])  # fmt: skip
def test_a_damaged_input_is_named_and_nothing_is_written(inputs: Path, how: str) -> None:
    (inputs / "dimuon.svg").unlink(missing_ok=True)
    damage(inputs / "muons-4.csv.gz", how)
    done = run(inputs, "merge.py", *SEEDS)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("merge.py: muons-4.csv.gz is damaged: ")
    assert not (inputs / "dimuon.svg").exists()


def test_a_missing_input_names_the_job_that_owes_it(inputs: Path) -> None:
    (inputs / "muons-2.csv.gz").unlink()
    done = run(inputs, "merge.py", *SEEDS)
    assert done.returncode == 2
    assert done.stderr == "merge.py: muons-2.csv.gz is missing: the production job of seed 2 has not delivered it\n"


def test_too_few_pairs_are_refused(inputs: Path) -> None:
    run(inputs, "generate.py", "9", "100")
    done = run(inputs, "merge.py", "9")
    assert (done.returncode, "too few" in done.stderr) == (2, True)


def test_pairs_without_a_peak_never_end_in_a_traceback(inputs: Path) -> None:
    flat = PHYSICS | {"production": PHYSICS["production"] | {"background": 1.0}}
    (inputs / "physics.json").write_text(json.dumps(flat), "utf-8")
    run(inputs, "generate.py", "9", "20000")
    done = run(inputs, "merge.py", "9")
    assert done.returncode in {0, 2}
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("seeds", [(), ("1", "1"), ("../1",)])
def test_seeds_must_be_numbers_named_once(inputs: Path, seeds: tuple[str, ...]) -> None:
    done = run(inputs, "merge.py", *seeds)
    assert (done.returncode, done.stderr) == (2, "usage: merge.py SEED... (each seed once)\n")


# ---- the descriptions


def test_the_production_is_five_jobs_whose_outputs_can_be_unpacked_together() -> None:
    jobs = [job for job in submission("production.jdl").jobs if isinstance(job, Item)]
    outputs = [output for job in jobs for output in job.output_sandbox]
    assert len(jobs) == 5
    assert len(set(outputs)) == len(outputs) == 15
    assert [f"muons-{seed}.csv.gz" in job.output_sandbox for seed, job in zip(SEEDS, jobs, strict=True)] == [True] * 5


def test_the_merge_asks_for_the_seeds_of_the_production_and_keeps_what_it_writes(merged: Path) -> None:
    description = jdl.parse((DEMO / "merge.jdl").read_text("utf-8"))
    assert tuple(description["Arguments"].split()) == SEEDS
    outputs = set(description["OutputSandbox"]) - {description["StdError"]}
    assert outputs == {
        name for name in ("dimuon.svg", "dimuon.txt", "fit.json", "merge.out") if (merged / name).exists()
    }


def test_the_wish_asks_for_a_quantum_annealer() -> None:
    (wish,) = submission("wish.jdl").jobs
    assert isinstance(wish, Item)
    assert "quantum-annealer" in str(wish.requirements)


@pytest.mark.parametrize("name", ["generate.py", "merge.py"])
def test_the_executables_can_be_executed(name: str) -> None:
    assert (DEMO / name).stat().st_mode & 0o111
    assert (DEMO / name).read_text("utf-8").startswith("#!/usr/bin/env python3\n")
