"""The few pages that a browser sees at login: one style, no script, nothing from elsewhere."""

import base64
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from hashlib import sha256
from html import escape
from typing import Any

from fastapi import Request, Response

from domain.errors import Refused
from gateway.errors import problem
from gateway.identity import Flow

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --paper: #f4f5f8; --card: #fff; --line: #d5d9e2; --blue: #2456c4 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ee; --paper: #14171d; --card: #1e232c; --line: #39414f; --blue: #8fb0ff }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 27rem; width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: .8rem;
  padding: 2rem }
h1 { font-size: 1.3rem; margin: 0 0 .6rem }
p { margin: .6rem 0; overflow-wrap: anywhere }
.quiet { opacity: .75; font-size: .9rem }
label { display: block; margin: 1rem 0 .3rem }
input { width: 100%; font: 1.5rem/1.4 ui-monospace, monospace; letter-spacing: .15em; text-transform: uppercase;
  text-align: center; padding: .5rem; border: 1px solid var(--line); border-radius: .5rem; background: transparent;
  color: inherit }
button { margin-top: 1rem; width: 100%; font: inherit; font-weight: 600; padding: .7rem; border: 0;
  border-radius: .5rem; background: var(--blue); color: var(--card); cursor: pointer }
:focus-visible { outline: 3px solid var(--blue); outline-offset: 2px }
"""
HASH = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
# A form that leads on to a provider is held to form-action by browsers, and providers live anywhere.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{HASH}'; form-action 'self' https: http://localhost:* http://127.0.0.1:*; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Route = Callable[..., Awaitable[Any]]


def page(title: str, *parts: str, status: int = 200) -> Response:
    """A page of these parts, which are HTML already."""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · Spinor</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{''.join(parts)}</main></body></html>"
    )
    return Response(text, status, HEADERS, "text/html; charset=utf-8")


def ask_for_code() -> Response:
    """Which login is it?"""
    return page(
        "Log in a terminal",
        "<p>Type the code that your terminal shows. You then log in at your organisation.</p>",
        '<form method="get" action="/api/auth/device"><label for="user_code">Code</label>',
        '<input id="user_code" name="user_code" required autofocus maxlength="11" autocomplete="off" ',
        'spellcheck="false">',
        "<button>Continue</button></form>",
        '<p class="quiet">Only type a code that you have asked for yourself: whoever shows it will act as you.</p>',
    )


def confirm(flow: Flow, hidden: Mapping[str, str]) -> Response:
    """Is it your terminal?"""
    code = f"{flow.user_code[:4]}-{flow.user_code[4:]}"
    fields = (f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in hidden.items())
    return page(
        "Is it your terminal?",
        f"<p>A terminal that shows the code <strong>{escape(code)}</strong> wants to act as you in the VO ",
        f"<strong>{escape(flow.vo)}</strong>, group <strong>{escape(flow.group)}</strong>.</p>",
        '<form method="post" action="/api/auth/device/complete">',
        *fields,
        "<button>Yes, it is mine</button></form>",
        '<p class="quiet">If somebody sent you a link, or no terminal of yours shows this code, close this window.</p>',
    )


def finished() -> Response:
    """A terminal has what it waits for."""
    return page(
        "That was it",
        "<p>Your terminal goes on by itself, and says as whom it is logged in.</p>",
        '<p class="quiet">Please close the window</p>',
    )


def for_browsers(route: Route) -> Route:
    """A refusal is a page for who can read one, and problem+json for the rest."""

    @wraps(route)
    async def answered(*args: Any, request: Request, **more: Any) -> Any:
        try:
            return await route(*args, request=request, **more)
        except Refused as refusal:
            plain = problem(refusal)
            if "text/html" not in request.headers.get("accept", ""):
                return plain
            return page(
                "This did not work", f"<p>{escape(refusal.what)}</p>", f"<p>What to do: {escape(refusal.next)}</p>",
                f'<p class="quiet">{escape(refusal.code.slug)}</p>', status=plain.status_code,
            )  # fmt: skip

    return answered
