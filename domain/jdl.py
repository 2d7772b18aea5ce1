"""The Job Description Language: text into attributes with exact error positions, and back."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args

from domain.errors import Code, Refused
from domain.parametric import LIMIT, fill, numbers, sequences

MAX_TEXT = 4 << 20  # characters; a parametric submission of 10 000 long file names has about one million
MAX_DEPTH = 16
MAX_TOKENS = 250_000  # ten thousand parameters in ten sequences; bounds the time a hostile text can take

# A bare word ends where a sign of the language begins, so `--n=5` needs quotes and a forgotten `;` is noticed.
# Words start the terminals below again after each blank: a comment may follow a bare value on its line.
GRAMMAR = r"""
start: body | "[" body "]" ";"?
body: (pair? ";")* pair?
pair: NAME "=" _value
_value: STRING | BARE | list | ad
list: "{" [_item ("," _item)* ","?] "}"
_item: STRING | ITEM | list | ad
ad: "[" body "]"

NAME: /[A-Za-z_][A-Za-z0-9_.\-]*+/
STRING: /"[^"\\]*+(?:\\.[^"\\]*+)*+"/s
BARE: /(?!#|\/\/|\/\*)[^\s;{}\[\]="]++(?:[ \t]++(?!#|\/\/|\/\*)[^\s;{}\[\]="]++)*+/
ITEM: /(?!#|\/\/|\/\*)[^\s;{}\[\]=",]++(?:[ \t]++(?!#|\/\/|\/\*)[^\s;{}\[\]=",]++)*+/
%ignore /\s++/
%ignore /#[^\n]*+/
%ignore /\/\/[^\n]*+/
%ignore /\/\*(?s:.*?)\*\//
"""

# How each attribute is written in JDL, and the field of a JobDescription it stands for.
NAMES = {
    "JobName": "name", "Executable": "executable", "Arguments": "arguments", "StdOutput": "std_output",
    "StdError": "std_error", "InputSandbox": "input_sandbox", "OutputSandbox": "output_sandbox",
    "InputData": "input_data", "InputDataPolicy": "input_data_policy", "InputDataModule": "input_data_module",
    "DisableDataScheduling": "disable_data_scheduling", "OutputData": "output_data", "OutputSE": "output_se",
    "OutputPath": "output_path", "Site": "sites", "BannedSites": "banned_sites", "GridCE": "ces",
    "Platform": "platforms", "CPUTime": "cpu_time", "Priority": "priority", "JobType": "job_type",
    "JobGroup": "job_group", "NumberOfProcessors": "processors", "MinNumberOfProcessors": "min_processors",
    "MaxNumberOfProcessors": "max_processors", "WholeNode": "whole_node", "NumberOfGPUs": "gpus",
    "MinRAM": "min_ram_mb", "MaxRAM": "max_ram_mb", "Tags": "tags", "ExecutionEnvironment": "environment",
    "LogLevel": "log_level", "JobConfigArgs": "job_config_args", "SoftwareDistModule": "software_dist_module",
    "JobPath": "job_path", "Memory": "memory_mb", "ProcessingType": "processing_type",
    "DisableCPUCheck": "disable_cpu_check", "StopSigRegex": "stop_sig_regex", "StopSigNumber": "stop_sig_number",
    "StopSigStartWork": "stop_sig_start_work", "StopSigFinishWork": "stop_sig_finish_work", "Owner": "owner",
    "OwnerGroup": "owner_group", "VirtualOrganization": "vo",
}  # fmt: skip
OLD = {"Tag": "Tags", "BannedSite": "BannedSites", "GridRequiredCEs": "GridCE"}  # spellings of former times
PARAMETRIC = ("Parameters", "ParameterStart", "ParameterStep", "ParameterFactor", "Parameter", "ParameterNumber")
SPELLING = {name.lower(): name for name in (*NAMES, *PARAMETRIC)} | {old.lower(): new for old, new in OLD.items()}

WORDS = {
    "SEMICOLON": "';'", "EQUAL": "'='", "COMMA": "','", "LBRACE": "'{'", "RBRACE": "'}'", "LSQB": "'['",
    "RSQB": "']'", "NAME": "an attribute name", "$END": "the end of the text", "STRING": "a value", "BARE": "a value",
    "ITEM": "a value",
}  # fmt: skip
ESCAPES = {'\\"': '"', "\\\\": "\\", "\\n": "\n", "\\t": "\t", "\\r": "\r"}
UNESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"})


def canonical(name: str) -> str:
    """The usual spelling of an attribute name: `jobname` is `JobName`, `parameters.Seed` is `Parameters.Seed`."""
    stem, dot, suffix = name.partition(".")
    return SPELLING.get(stem.lower(), stem) + dot + suffix


def parse(text: str) -> dict[str, Any]:
    """The attributes of one job: name in its usual spelling -> str, int, float, bool, list or nested dict.

    A bare value becomes a number or a boolean only where nothing is lost by it: `007` and `1.10` stay strings.

    Raises:
        Refused: JDL_SYNTAX with line, column and problem; TOO_LARGE with size and limit.
    """
    if len(text) > MAX_TEXT:
        raise Refused(Code.TOO_LARGE, size=len(text), limit=MAX_TEXT)
    if "\0" in text:
        raise _refusal(*_position(text, text.index("\0")), "a NUL character")
    try:
        attributes = cast(dict[str, Any], _parser().parse(text))
    except UnexpectedInput as error:
        raise _refusal(error.line, error.column, _problem(error, text)) from None
    if not attributes:
        raise _refusal(1, 1, "expected at least one attribute: Name = value;")
    return attributes


def words(text: str) -> int:
    """About half of the words and signs in a text, at no cost: what reading it will cost."""
    return sum(text.count(sign) for sign in ";=,{}[]")


def expand(attributes: Mapping[str, Any], limit: int = LIMIT) -> list[dict[str, Any]]:
    """One set of attributes per parameter value; a job without Parameters is returned alone.

    The placeholders `%s`, `%(name)s` and `%n` are filled in, `%j` waits for the job id. Each result carries
    `Parameter`, `Parameter.<name>` and `ParameterNumber`.

    Raises:
        Refused: DESCRIPTION with field and problem; TOO_MANY above `limit`.
    """
    rows = sequences(attributes, limit)
    if rows is None:
        return [dict(attributes)]
    plain = {name: value for name, value in attributes.items() if name.partition(".")[0] not in PARAMETRIC}
    jobs = []
    for number, row in zip(numbers(len(rows)), rows, strict=True):
        own = {f"Parameter.{name}" if name else "Parameter": value for name, value in row.items()}
        jobs.append({name: fill(value, row, number) for name, value in plain.items()}
                    | own | {"ParameterNumber": int(number)})  # fmt: skip
    return jobs


def write(attributes: Mapping[str, Any]) -> str:
    """The JDL text of the attributes; `parse` gives them back unchanged."""
    return "[\n" + "".join(f"    {name} = {_written(value)};\n" for name, value in attributes.items()) + "]"


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return "[" + " ".join(f"{name} = {_written(inner)};" for name, inner in value.items()) + "]"
    if isinstance(value, list | tuple | set | frozenset):
        return "{" + ", ".join(map(_written, value)) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and _bare(text := str(value)) == value:
        return text
    return '"' + str(value).translate(UNESCAPES) + '"'


def _bare(word: str) -> str | int | float | bool:
    """A number or boolean where its text can be told from its value, else the word."""
    if word in ("true", "false"):
        return word == "true"
    if len(word) > 20 or word[0] not in "-0123456789":
        return str(word)
    for kind in (int, float):
        try:
            if str(number := kind(word)) == word:
                return number
        except ValueError:
            continue
    return str(word)  # not the parser's token, which is a string that drags its position along


def _unquoted(token: str) -> str:
    body = token[1:-1]
    return str(re.sub(r'\\["\\ntr]', lambda found: ESCAPES[found[0]], body)) if "\\" in body else str(body)


@v_args(inline=True)
class Builder(Transformer[Token, Any]):
    """Builds the values while the text is parsed: no tree is kept and nothing recurses."""

    STRING = staticmethod(_unquoted)
    BARE = ITEM = staticmethod(_bare)

    def pair(self, name: Token, value: Any) -> tuple[Token, Any]:
        """One attribute."""
        return name, value

    def list(self, *values: Any) -> "list[Any]":
        """`{a, b}`; lark stands None for an empty one."""
        return [value for value in values if value is not None]

    def body(self, *pairs: tuple[Token, Any] | None) -> dict[str, Any]:
        """Attributes in order; one given twice is refused, for neither value is sure to be meant."""
        attributes: dict[str, Any] = {}
        seen = set()
        for name, value in filter(None, pairs):
            spelled = canonical(str(name))
            if spelled.lower() in seen:
                raise _refusal(name.line, name.column, f"{spelled} is given twice")
            seen.add(spelled.lower())
            attributes[spelled] = value
        return attributes

    def ad(self, body: dict[str, Any]) -> dict[str, Any]:
        """A nested `[ ]`."""
        return body

    start = ad


class Guard:
    """Stands between lexer and parser and stops what no honest text does."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens, as long as they are neither too deep nor too many."""
        depth = 0
        for count, token in enumerate(stream):
            if token.type in ("LBRACE", "LSQB"):
                depth += 1
            elif token.type in ("RBRACE", "RSQB"):
                depth -= 1
            if depth > MAX_DEPTH:
                raise _refusal(token.line, token.column, f"nested deeper than {MAX_DEPTH}")
            if count > MAX_TOKENS:
                raise _refusal(token.line, token.column, f"more than {MAX_TOKENS} words")
            yield token


@cache
def _parser() -> Lark:
    guard = cast(Any, Guard())  # lark knows the interface only as an abstract class
    return Lark(
        GRAMMAR, parser="lalr", lexer="contextual", transformer=Builder(), postlex=guard, maybe_placeholders=True
    )


def _problem(error: UnexpectedInput, text: str) -> str:
    if isinstance(error, UnexpectedToken):
        wanted = sorted({WORDS.get(name, name) for name in error.expected})
        found = "the end of the text" if error.token.type == "$END" else repr(str(error.token)[:20])
        return f"expected {' or '.join(wanted)}, found {found}"
    if isinstance(error, UnexpectedCharacters) and error.pos_in_stream is not None:
        start = text[error.pos_in_stream : error.pos_in_stream + 2]
        if start[:1] == '"':
            return "expected a closing quote for the string that begins here"
        if start == "/*":
            return "expected */ to end the comment that begins here"
        wanted = sorted({WORDS.get(name, name) for name in error.allowed or ()})
        return f"expected {' or '.join(wanted)}, found {start[:1]!r}"
    return "expected Name = value;"


def _position(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _refusal(line: int | None, column: int | None, problem: str) -> Refused:
    return Refused(Code.JDL_SYNTAX, line=max(line or 1, 1), column=max(column or 1, 1), problem=problem)
