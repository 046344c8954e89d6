"""Reads YAML strictly: errors state file and line, and a field that the code does not read is rejected."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_TEXT, _INTEGER = "tag:yaml.org,2002:str", "tag:yaml.org,2002:int"
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Misconfigured(Exception):
    """A manifest is invalid or not supported; the message is ``file:line: reason, and the allowed values``."""


class Block:
    """One YAML mapping. Read its fields, then call ``done``, which rejects the fields not read."""

    def __init__(self, file: str, node: yaml.Node, path: str) -> None:
        self.file = file
        self.path = path
        self._node = node
        if not isinstance(node, yaml.MappingNode):
            raise self.refuse(f"{path or 'the document'} is not a mapping of fields.")
        self._values: dict[str, yaml.Node] = {}
        self._asked: list[str] = []
        for key, value in node.value:
            if key.value in self._values:
                raise self.refuse(f"{self._at(key.value)} occurs twice.", key)
            self._values[key.value] = value

    @property
    def where(self) -> str:
        """Return file and line, such as ``eventing/reserve.yaml:12``."""
        return f"{self.file}:{self._node.start_mark.line + 1}"

    def refuse(self, reason: str, node: yaml.Node | None = None) -> Misconfigured:
        """Return the error to raise, with the line of this block or of ``node``."""
        return Misconfigured(f"{self.file}:{(node or self._node).start_mark.line + 1}: {reason}")

    def refuse_field(self, name: str, reason: str) -> Misconfigured:
        """Return the error to raise, with the line of a field's value."""
        return self.refuse(f"{self._at(name)}: {reason}", self._values.get(name))

    def has(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str | None = None, one_of: tuple[str, ...] = ()) -> str:
        """Read a string; it is required if there is no default."""
        node = self._take(name)
        if node is None:
            if default is None:
                raise self.refuse(f"{self._at(name)} is missing.")
            return default
        value = self._scalar(name, node, _TEXT, "text; put it in quotes")
        if one_of and value not in one_of:
            raise self.refuse(f"{self._at(name)} is {value!r}. Allowed: {', '.join(one_of)}.", node)
        return value

    def name(self, name: str, default: str | None = None) -> str:
        """Read a Kubernetes name."""
        value = self.text(name, default)
        if not _NAME.fullmatch(value):
            raise self.refuse_field(
                name, f"{value!r} is not a name. Allowed: a-z, 0-9 and inner hyphens, at most 63 characters."
            )
        return value

    def integer(self, name: str, default: int, least: int = 0) -> int:
        node = self._take(name)
        if node is None:
            return default
        text = self._scalar(name, node, _INTEGER, "a whole number")
        if not text.isdigit() or int(text) < least:
            raise self.refuse_field(name, f"{text} is less than {least}, or not decimal.")
        return int(text)

    def duration_s(self, name: str, default: float) -> float:
        """Read an ISO 8601 duration of days, hours, minutes and seconds; return seconds."""
        if not self.has(name):
            self._asked.append(name)
            return default
        text = self.text(name)
        match = _DURATION.fullmatch(text)
        if match is None or not any(match.groups()):
            raise self.refuse_field(name, f"{text!r} is not an ISO 8601 duration. Allowed: like PT0.2S, PT5M, P1DT12H.")
        days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    def texts(self, name: str) -> Mapping[str, str]:
        """Read a mapping of strings, empty if the field is absent."""
        block = self.block(name)
        return {} if block is None else {key: block.text(key) for key in block.keys()}  # noqa: SIM118  # not a dict

    def keys(self) -> tuple[str, ...]:
        return tuple(self._values)

    def block(self, name: str) -> "Block | None":
        node = self._take(name)
        return None if node is None else Block(self.file, node, self._at(name))

    def blocks(self, name: str) -> "list[Block]":
        node = self._take(name)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise self.refuse(f"{self._at(name)} is not a list.", node)
        return [Block(self.file, item, f"{self._at(name)}[{index}]") for index, item in enumerate(node.value)]

    def refused(self, name: str, reason: str) -> None:
        """Reject a field that Knative accepts and this broker does not support."""
        if self.has(name):
            raise self.refuse_field(name, reason)

    def done(self) -> None:
        """
        Check that every field was read.

        Raises:
            Misconfigured: a field was not read, so it is unknown.
        """
        for name, node in self._values.items():
            if name not in self._asked:
                allowed = ", ".join(dict.fromkeys(self._asked))
                raise self.refuse(f"{self._at(name)} is not supported. Allowed: {allowed}.", node)

    def _take(self, name: str) -> yaml.Node | None:
        self._asked.append(name)
        return self._values.get(name)

    def _scalar(self, name: str, node: yaml.Node, tag: str, wanted: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.tag != tag:
            raise self.refuse(f"{self._at(name)} is not {wanted}.", node)
        value: str = node.value
        return value

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def documents(directory: Path, shown: str = "") -> Iterator[Block]:
    """Yield every document of every ``*.yaml`` of a directory, by file name; ``shown`` is its name in errors."""
    files = sorted(directory.glob("*.yaml"))
    if not files:
        raise Misconfigured(f"{directory}: has no *.yaml; at least a Broker is required.")
    for path in files:
        yield from _documents(path, f"{shown or directory.name}/{path.name}")


def _documents(path: Path, shown: str) -> Iterator[Block]:
    try:
        nodes: list[Any] = list(yaml.compose_all(path.read_text("utf-8"), yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Misconfigured(f"{shown}:{line}: is not YAML: {error.problem}.") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise Misconfigured(f"{shown}:1: is not YAML: {error}.") from None
    for node in nodes:
        if node is not None and not (isinstance(node, yaml.ScalarNode) and not node.value):
            yield Block(shown, node, "")
