"""`spinor data put` and `get`: what goes there comes back, whatever its size, and no file hides another."""

from pathlib import Path

from tests.gateway.cli.conftest import Site, Spinor

HERE = "/demo/moved"


def test_files_come_back_as_they_went_also_empty_and_half_fetched_ones(spinor: Spinor, site: Site) -> None:
    contents = {"full": b"0123456789", "empty": b""}
    for name, content in contents.items():
        Path(name).write_bytes(content)
    put = spinor("data", "put", *contents, "--to", f"{HERE}/")
    assert put.exit_code == 0, put.output
    back = Path("back")
    back.mkdir()
    (back / "full.part").write_bytes(b"0123")
    got = spinor("data", "get", *(f"{HERE}/{name}" for name in contents), "--to", "back")
    assert got.exit_code == 0, got.output
    assert {path.name: path.read_bytes() for path in back.iterdir()} == contents


def test_files_of_one_name_are_not_fetched_over_each_other(spinor: Spinor, site: Site) -> None:
    refused = spinor("data", "get", f"{HERE}/a/x", f"{HERE}/b/x")
    assert refused.exit_code == 2
    assert "two files have the same name" in refused.stderr
    assert not Path("x").exists()
