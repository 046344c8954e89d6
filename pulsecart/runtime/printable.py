"""Escapes untrusted text so that PostgreSQL can store it or a terminal can show it."""


def storable(text: str) -> str:
    """Escape NUL and lone surrogates, which PostgreSQL cannot store; other text is unchanged."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def decoded(data: bytes) -> str:
    """Decode UTF-8; escape bytes that are not UTF-8."""
    return storable(data.decode("utf-8", "backslashreplace"))


def printable(text: str, keep: str = "") -> str:
    """
    Escape every character that a terminal does not print as itself: control and format characters, line ends,
    unassigned code points.

    Args:
        keep: characters to leave unescaped, such as a line end.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escaped(char) for char in text)


def shortened(text: str, length: int) -> str:
    """Cut ``text`` to at most ``length`` characters; the last is then an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
