"""Reads a form whose last part is a big file as it arrives, holding one chunk at a time."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from domain.errors import Code, Refused

MOST_FIELDS = 64 * 1024  # bytes of all small fields together
MOST_PARTS = 100


class Piece(NamedTuple):
    """Some bytes of the part called `name`; its first piece is empty."""

    name: str
    data: bytes


class Form(NamedTuple):
    """The small fields, and the bytes of the part `file` still to come."""

    fields: dict[str, str]
    file: AsyncIterator[bytes]


class Parts:
    """Turns chunks of a multipart body into pieces of its parts, in order."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise Refused(Code.MALFORMED, problem="multipart/form-data with a boundary is expected")
        self._header, self._value = b"", b""
        self._name = ""
        self._pieces: list[Piece] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begun,
                "on_header_field": self._header_came,
                "on_header_value": self._value_came,
                "on_header_end": self._header_ended,
                "on_headers_finished": self._opened,
                "on_part_data": self._data_came,
            },
        )

    def feed(self, chunk: bytes) -> list[Piece]:
        """The pieces that this chunk completes; raises FormParserError."""
        self._pieces = []
        self._parser.write(chunk)
        return self._pieces

    def _begun(self) -> None:
        self._name = ""

    def _header_came(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _value_came(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ended(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._name = options.get(b"name", b"").decode(errors="replace")
        self._header, self._value = b"", b""

    def _opened(self) -> None:
        self._pieces.append(Piece(self._name, b""))

    def _data_came(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(Piece(self._name, data[start:end]))


async def read_form(content_type: str, body: AsyncIterator[bytes]) -> Form:
    """The fields before the part `file`, and that part as a stream.

    Raises Refused(MALFORMED), also later from the stream; what follows the file is not read.
    """
    pieces = _pieces(content_type, body)
    fields: dict[str, bytes] = {}
    parts = size = 0
    async for name, data in pieces:
        if name == "file":
            return Form({key: value.decode(errors="replace") for key, value in fields.items()}, _file(pieces))
        fields[name] = fields.get(name, b"") + data
        parts, size = parts + (not data), size + (len(data) or len(name))
        if size > MOST_FIELDS:
            raise Refused(Code.TOO_LARGE, size=size, limit=MOST_FIELDS)
        if parts > MOST_PARTS:
            raise Refused(Code.TOO_MANY, count=parts, things="parts", limit=MOST_PARTS)
    raise Refused(Code.MALFORMED, problem="the form has no part named file")


async def _pieces(content_type: str, body: AsyncIterator[bytes]) -> AsyncGenerator[Piece]:
    try:
        parts = Parts(content_type)
        async for chunk in body:
            for piece in parts.feed(chunk):
                yield piece
    except FormParserError as error:
        raise Refused(Code.MALFORMED, problem="the form cannot be read") from error


async def _file(pieces: AsyncGenerator[Piece]) -> AsyncIterator[bytes]:
    async for name, data in pieces:
        if name != "file" or not data:  # the next part has begun
            return
        yield data
