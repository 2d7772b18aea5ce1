"""Input sandboxes of descriptions: files named there are packed, uploaded once, and replaced by their name."""

from collections.abc import Sequence
from pathlib import Path

from domain.errors import Refused
from gateway.cli.archive import pack
from gateway.cli.output import note, progress
from gateway.cli.sandbox import upload
from gateway.cli.session import Session
from gateway.cli.sources import STDIN, Described, Problem, Wrong, is_stored, sandbox_field, sandbox_names, with_sandbox


def local_files(described: Described) -> list[Path]:
    """The files that its input sandbox names; they lie beside the description, or where the command is run.

    Raises:
        Wrong: with a problem for each that is not there.
    """
    beside = Path(described.file).parent if described.file not in (STDIN, "stdin") else Path()
    found, missing = [], []
    for name in sandbox_names(described):
        if is_stored(name):
            continue
        if path := next((place for place in (beside / name, Path(name)) if place.exists()), None):
            found.append(path)
        else:
            field = sandbox_field(described.attributes)
            missing.append(Problem(described.file, described.first, field, f"there is no file {beside / name}"))
    if missing:
        raise Wrong(missing)
    return found


def uploaded(session: Session, every: Sequence[Described], quiet: bool = False) -> list[Described]:
    """The descriptions with their files in the store; equal sets of files are uploaded once.

    Raises:
        Wrong: files that are missing or cannot be packed, before anything is uploaded.
    """
    files = _all_files(every)
    stored: dict[tuple[Path, ...], str] = {}
    changed = []
    for described, paths in zip(every, files, strict=True):
        if paths and paths not in stored:
            stored[paths] = _store(session, described, paths, quiet)
        kept = [name for name in sandbox_names(described) if is_stored(name)]
        changed.append(with_sandbox(described, [stored[paths], *kept]) if paths else described)
    return changed


def _all_files(every: Sequence[Described]) -> list[tuple[Path, ...]]:
    files, problems = [], []
    for described in every:
        try:
            files.append(tuple(local_files(described)))
        except Wrong as wrong:
            problems += wrong.problems
    if problems:
        raise Wrong(problems)
    return files


def _store(session: Session, described: Described, paths: Sequence[Path], quiet: bool) -> str:
    try:
        packed = pack(paths)
    except Refused as refused:
        given = refused.parameters
        problem = f"{given.get('field', '')}: {given['problem']}" if "problem" in given else refused.what
        field = sandbox_field(described.attributes)
        raise Wrong([Problem(described.file, described.first, field, problem.removeprefix(": "))]) from None
    except OSError as error:
        raise Wrong([Problem(described.file, described.first, "InputSandbox", str(error))]) from None
    try:
        with progress() as bar:
            task = bar.add_task(f"input sandbox, {len(paths)} files", total=packed.size)
            pfn = upload(session.http, packed, lambda done, total: bar.update(task, completed=done, total=total))
    finally:
        packed.path.unlink(missing_ok=True)
    if not quiet:
        note(f"input sandbox: {', '.join(path.name for path in paths)} ({packed.size} bytes packed)")
    return pfn
