"""The AsyncAPI document as one HTML page that needs nothing from anywhere else."""

import json
from html import escape
from typing import Any

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{overflow:auto;padding:.7rem;background:#8881}
summary{cursor:pointer;padding:.3rem 0}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #8884}
:root{color-scheme:light dark}nav a{margin-right:1rem}"""


def page(document: dict[str, Any]) -> str:
    """The page for a document of `asyncapi.document`."""
    title = escape(document["info"]["title"])
    how = "".join(f"<p>{_text(part)}</p>" for part in document["info"]["description"].split("\n\n"))
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: messages</title>
<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><h1>{title}: messages</h1>
<p>{_broker(document)}</p>
{how}<nav><a href="#receive">commands</a><a href="#send">events</a></nav>
{_section(document, "receive", "Commands you may publish")}{_section(document, "send", "Events you may hear")}
<details><summary>The whole document</summary><pre>{escape(json.dumps(document, indent=1))}</pre></details>
</body></html>"""


def _broker(document: dict[str, Any]) -> str:
    server = document.get("servers", {}).get("broker")
    if not server:
        return "This installation has no broker: other programs can join once it is started with <code>--bus</code>."
    url = f"{server['protocol']}://{server['host']}{server.get('pathname', '')}"
    return f"Broker <code>{escape(url)}</code>"


def _section(document: dict[str, Any], action: str, heading: str) -> str:
    topics = [one["channel"]["$ref"].rpartition("/")[2] for one in document["operations"].values()
              if one["action"] == action]  # fmt: skip
    return f'<h2 id="{action}">{heading}</h2>' + "".join(_entry(document, topic) for topic in topics)


def _entry(document: dict[str, Any], topic: str) -> str:
    channel, schema = document["channels"][topic], document["components"]["schemas"][topic]
    summary = escape(channel["messages"]["message"].get("summary") or "")
    return f"""<details id="{escape(topic)}"><summary><code>{escape(topic)}</code> {summary}</summary>
<p>Routing key <code>{escape(channel["address"])}</code>; its <code>data</code>:</p>{_fields(schema)}
<pre>{escape(json.dumps(schema, indent=1))}</pre></details>"""


def _fields(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(field))}</td>"
        f"<td>{'required' if name in required else 'optional'}</td></tr>"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<table>{rows}</table>" if rows else "<p>nothing</p>"


def _type(field: dict[str, Any]) -> str:
    """A few words for the type of a field."""
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items') or {})}"
    return str(field.get("format") or field.get("type") or "anything")


def _text(paragraph: str) -> str:
    """Words between backquotes become code."""
    parts = escape(paragraph).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
