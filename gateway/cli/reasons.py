"""Answers to "why", for people."""

from typing import Any

from gateway.cli.output import ACTORS, Column, out, table
from gateway.cli.text import moment, shown


def explained(answer: dict[str, Any]) -> None:
    """The sentence first, who must act and what to do next, then the figures."""
    if "job" in answer:
        out(f"job {answer.pop('job')} is {answer.pop('status')} since {moment(str(answer.pop('since')))}", style="bold")
    out(f"  why:  {answer.pop('detail')} ({answer.pop('code')})")
    who, next_ = answer.pop("who"), answer.pop("next")
    out(f"  who:  {ACTORS.get(who, who)}")
    if next_:
        out(f"  next: {next_}")
    reasons, openings = answer.pop("reasons", None) or [], answer.pop("openings", None) or []
    for name, value in answer.items():
        if value not in (None, "", [], {}):
            out(f"  {name.replace('_', ' ')}: {shown(value)}")
    _tables(reasons, openings)


def _tables(reasons: list[dict[str, Any]], openings: list[dict[str, Any]]) -> None:
    if reasons:
        out("")
        names = ("code", "wanted", "offered", "pilots", "alone", "of")
        table([{name: reason.get(name, "") for name in names} for reason in reasons], [Column(name) for name in names])
    for reason in reasons:
        if reason.get("by"):
            out(f"  {reason['code']}: {reason.get('detail') or reason.get('rule')}, by {reason['by']} "
                f"since {moment(reason['since'])} (event {reason['event']})")  # fmt: skip
    for opening in openings:
        out(f"  would match {opening['what']}: {opening['slots']} slots")
