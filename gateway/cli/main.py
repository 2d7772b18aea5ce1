"""The commands of users: put together, and every refusal told in three lines instead of a traceback."""

import sys
import tempfile
import traceback
from typing import Any, NoReturn

import typer
import typer.exceptions
from typer.core import TyperGroup

from domain.errors import Code, Refused
from gateway.cli import (
    acts,
    audit,
    bulk,
    config,
    follow,
    history,
    import_cmd,
    jobs,
    letters,
    login,
    pilots,
    registry,
    requests,
    resources,
    submit,
    suspensions,
    system,
    transformations,
    transforming,
    wait,
    watch,
)
from gateway.cli.files import FILES
from gateway.cli.ids import fields
from gateway.cli.output import ACTORS, asked, called, note
from gateway.cli.text import clean, to_json

ABOUT = """Spinor, the event-sourced interware: submit jobs, follow them, ask why.

The gateway and the token come from SPINOR_URL and SPINOR_TOKEN, else from the credentials that `spinor up` or
`spinor login` keep. Job ids come as arguments, or from stdin with `-`; they go out one a line, so that commands can
be joined:

\b
  spinor job list --status Failed --ids | spinor job reschedule -

Every command that shows something has --json; it may stand anywhere.

\b
Exit codes: 0 done, 1 refused, 2 wrong usage, 3 some of many failed
"""


GROUPS = (
    ("job", "Submit, watch, explain and end jobs.", (submit.add, jobs.add, wait.add, watch.add, acts.add)),
    ("bulk", "One act on all jobs that a query finds.", (bulk.add,)),
    ("history", "Everything that happened to one thing, and because of what.", (history.add, audit.add_history)),
    ("pilot", "Look at pilots; without a command: run one here.", (pilots.add,)),
    ("queue", "What waits for pilots; queues of computing elements.", (pilots.add_queues, registry.add_queues)),
    ("config", "The configuration: read, change, compare, go back.", (config.add, import_cmd.add)),
    *registry.groups(),
    ("resource", "Which sites, storage elements, nodes may be used.", (resources.add,)),
    ("data", "Files: the catalogue, and where they lie.", FILES),
    ("request", "What is being done with files.", (requests.add_requests,)),
    ("transformation", "Jobs over files, each file once.", (transformations.add, transforming.add)),
    ("log", "The log of events, live.", (follow.add,)),
    ("suspend", "Keep a user, a group or the VO from going on.", (suspensions.add_suspend,)),
    ("resume", "Let a suspended user, group or VO go on.", (suspensions.add_resume,)),
    ("dead-letters", "What could not be handled.", (letters.add,)),
)


SECTIONS = {
    "To begin": ("demo", "up", "status", "doctor", "settings", "init", "reset"),
    "Jobs and pilots": ("job", "bulk", "history", "pilot", "queue", "log", "whoami", "login", "logout", "sessions"),
    "To configure": ("config", "vo", "group", "user", "site", "ce", "se"),
    "Files": ("data", "request", "transformation"),
    "To operate": (
        "suspend",
        "resume",
        "suspensions",
        "audit",
        "resource",
        "dead-letters",
        "refusals",
        "rebuild",
        "verify",
        "migrate",
        "lost",
        "restored",
        "keys",
    ),
    "Parts, each a process of its own": ("gateway", "dispatch", "consume", "project", "relay", "match", "timers"),
}


class Root(TyperGroup):
    """The whole command line: takes --json anywhere, and turns refusals into their three lines."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands under the titles of SECTIONS, those of others at the end."""
        named = {name for names in SECTIONS.values() for name in names}
        more = tuple(name for name in self.list_commands(ctx) if name not in named)
        for title, names in (SECTIONS | {"More": more}).items():
            known = [(name, command) for name in names if (command := self.get_command(ctx, name))]
            if known:
                with formatter.section(title):
                    room = formatter.width - 6 - max(len(name) for name, _ in known)
                    formatter.write_dl([(name, command.get_short_help_str(room)) for name, command in known])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments with --json at their end, where the command that is meant finds it."""
        end = args.index("--") if "--" in args else len(args)
        kept = [arg for arg in args[:end] if arg != "--json"]
        asked.json = len(kept) < end
        try:
            return super().parse_args(ctx, kept + ["--json"] * asked.json + args[end:])
        except typer.exceptions.TyperException as wrong:
            misused(wrong)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what it raises as a refusal ends it."""
        try:
            return super().invoke(ctx)
        except Refused as refusal:
            fail(refusal)
        except typer.exceptions.TyperException as wrong:
            misused(wrong)


def application() -> typer.Typer:
    """The command line with the commands of users; others may be added to it."""
    app = typer.Typer(
        cls=Root, name="spinor", help=ABOUT, no_args_is_help=True, rich_markup_mode=None,
        pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
    )  # fmt: skip
    for name, about, parts in GROUPS:
        group = typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None)
        for add in parts:
            add(group)
        app.add_typer(group, name=name)
    system.add(app)
    letters.add_refusals(app)
    login.add(app)
    suspensions.add(app)
    audit.add(app)
    return app


def fail(refusal: Refused) -> NoReturn:
    """Say on stderr what happened, who must act and what to do next (with --json: one object), and exit with 1."""
    if asked.json:
        sys.stderr.write(to_json(fields(refusal)) + "\n")
    else:
        note("error:", clean(refusal.what), style="bold red")
        note("  who: ", ACTORS[refusal.code.value.who.value])
        note("  next:", clean(called(refusal.next)))
    raise SystemExit(1)


def misused(wrong: Any) -> NoReturn:
    """End for wrong usage: with --json as one object, else as the parser says it."""
    if not asked.json:
        raise wrong
    usage = wrong.ctx.command_path if getattr(wrong, "ctx", None) else "spinor"
    told = {"code": "usage", "detail": wrong.format_message(), "who": "user", "next": f"{usage} --help"}
    sys.stderr.write(to_json(told) + "\n")
    raise SystemExit(wrong.exit_code)


def unexpected(fault: Exception) -> Refused:
    """A fault that nobody foresaw, as a refusal; what a programmer needs lies in a file."""
    if isinstance(fault, OSError) and fault.filename and fault.strerror:
        return Refused(Code.FILE, path=fault.filename, problem=fault.strerror)
    with tempfile.NamedTemporaryFile("w", prefix="spinor-fault-", suffix=".txt", delete=False) as file:
        file.writelines(traceback.format_exception(fault))
    problem = " ".join(str(fault).split())[:200]
    return Refused(Code.FAULT, problem=f"{type(fault).__name__}: {problem}".rstrip(": "), file=file.name)
