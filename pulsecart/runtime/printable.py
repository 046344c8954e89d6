"""Text of unknown origin, made fit to be stored in PostgreSQL or shown on a terminal."""


def storable(text: str) -> str:
    """The same text where PostgreSQL can store it; NUL and halves of surrogate pairs are written as escapes."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def decoded(data: bytes) -> str:
    """UTF-8 as text; bytes that are not UTF-8 are written as escapes."""
    return storable(data.decode("utf-8", "backslashreplace"))


def printable(text: str, keep: str = "") -> str:
    """
    The text with every character escaped that a terminal would not print as itself: control and format characters,
    line ends, unassigned ones.

    Args:
        keep: characters that are kept all the same, such as a line end.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escaped(char) for char in text)


def shortened(text: str, length: int) -> str:
    """At most ``length`` characters, the last an ellipsis where some are missing."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
