"""Between events and the text that is stored: topics, versions, upcasting, and what is sealed for a person."""

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import Code, Refused
from domain.messages import Command, Event

SEAL = "sealed:"
FORGOTTEN = "(forgotten)"
# What bytes can do to a decoder; those nested without end are no better than those that end too early.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError, AttributeError, RecursionError)
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # JSON may say it, no text column can keep it


class Codec:
    """Encodes and decodes the events and commands of one system.

    Fields named in an event's SEALED (field -> the field that names the subject) leave the process only encrypted
    with that subject's key. Decoding leaves them sealed; `unseal` opens them where the key still exists. So a person
    is forgotten by forgetting a key, and the bytes of the log stay what they were.
    """

    def __init__(self, events: Iterable[type[Event]], commands: Iterable[type[Command]]) -> None:
        self.events = {event.TOPIC: event for event in events}
        self.commands = {command.TOPIC: command for command in commands}
        self.keys: dict[str, bytes] = {}
        self._encode = msgspec.json.Encoder().encode
        self._readers = {topic: msgspec.json.Decoder(event) for topic, event in self.events.items()}
        self._orders = {topic: msgspec.json.Decoder(command) for topic, command in self.commands.items()}
        self._sealed: dict[tuple[str, bytes, str], str] = {}
        self._opened: dict[tuple[str, bytes, str], str] = {}

    def encode(self, message: Event | Command) -> str:
        """The text that is stored; sealed fields encrypted (their subjects' keys must be in `keys`)."""
        sealed = getattr(message, "SEALED", None)
        if sealed:
            message = msgspec.structs.replace(
                message,
                **{name: self._seal(getattr(message, of), getattr(message, name)) for name, of in sealed.items()},
            )
        return self._encode(message).decode()

    def decode(self, topic: str, version: int, data: str | bytes) -> Event:
        """The event behind a stored text, upcast to the newest version.

        Raises:
            Refused: TOPIC_UNKNOWN, VERSION_UNKNOWN (written by a newer release) or MALFORMED.
        """
        event = self.events.get(topic)
        if event is None:
            raise Refused(Code.TOPIC_UNKNOWN, topic=topic)
        try:
            if version == event.SCHEMA:
                return self._readers[topic].decode(data)
            return self._upcast(event, version, msgspec.json.decode(data))
        except UNREADABLE as fault:
            raise Refused(Code.MALFORMED, problem=f"{topic}: {fault}") from fault

    def command(self, topic: str, data: str | bytes | msgspec.Raw) -> Command:
        """The command behind a message.

        Raises:
            Refused: TOPIC_UNKNOWN or MALFORMED.
        """
        if topic not in self._orders:
            raise Refused(Code.TOPIC_UNKNOWN, topic=topic)
        raw = data.encode() if isinstance(data, str) else bytes(data)
        if b"u0000" in raw and NUL.search(raw):  # the search alone is half of the time a command takes
            raise Refused(Code.MALFORMED, problem=f"{topic}: a text holds the character NUL")
        try:
            return self._orders[topic].decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
            raise Refused(Code.MALFORMED, problem=f"{topic}: {fault}") from fault

    def subjects(self, events: Iterable[Event]) -> set[str]:
        """The subjects whose keys are needed to encode or open these events and are not at hand."""
        wanted = {getattr(event, of) for event in events for of in getattr(event, "SEALED", {}).values()}
        return wanted - self.keys.keys()

    def forget(self, subjects: Iterable[str]) -> None:
        """Drop keys from memory: those that were forgotten, or are not committed yet."""
        for subject in subjects:
            self.keys.pop(subject, None)

    def forget_all(self) -> None:
        """Drop all keys from memory."""
        self.keys.clear()
        self._sealed.clear()
        self._opened.clear()

    def unseal(self, event: Event) -> Event:
        """The event with its sealed fields in clear, or `(forgotten)` where the key is gone."""
        sealed = getattr(event, "SEALED", None)
        if not sealed:
            return event
        return msgspec.structs.replace(
            event, **{name: self._open(getattr(event, of), getattr(event, name)) for name, of in sealed.items()}
        )

    def _upcast(self, event: type[Event], version: int, body: dict[str, Any]) -> Event:
        if version > event.SCHEMA:
            raise Refused(Code.VERSION_UNKNOWN, topic=event.TOPIC, version=version)
        for step in range(version, event.SCHEMA):
            body = event.UPCASTS[step](body)
        return msgspec.convert(body, event)

    def _seal(self, subject: str, clear: str) -> str:
        key = self.keys[subject]
        if (subject, key, clear) not in self._sealed:
            nonce = os.urandom(12)
            text = nonce + AESGCM(key).encrypt(nonce, clear.encode(), subject.encode())
            if len(self._sealed) > 10_000:
                self._sealed.clear()
            self._sealed[subject, key, clear] = SEAL + b64encode(text).decode()
        return self._sealed[subject, key, clear]

    def _open(self, subject: str, text: str) -> str:
        key = self.keys.get(subject)
        if not text.startswith(SEAL):
            return text
        if not key:
            return FORGOTTEN
        known = (subject, key, text)
        if known not in self._opened:  # all jobs of one submission say the same
            if len(self._opened) > 10_000:
                self._opened.clear()
            self._opened[known] = _decrypted(key, text, subject)
        return self._opened[known]


def _decrypted(key: bytes, text: str, subject: str) -> str:
    raw = b64decode(text[len(SEAL) :])
    try:
        return AESGCM(key).decrypt(raw[:12], raw[12:], subject.encode()).decode() if raw else FORGOTTEN
    except InvalidTag:
        return FORGOTTEN
