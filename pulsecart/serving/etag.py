"""Compares versions by ETag, If-Match and If-None-Match (RFC 9110 §13)."""

from pulsecart.runtime.problem import Changed, Unconditional


def etag_of(version: int) -> str:
    """Return the ETag of a version: ``"7"``. Callers may append further state after a hyphen: ``"7-12"``."""
    return f'"{version}"'


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Return whether the client's copy is current, so that the reply is 304; compares weakly, as the RFC requires."""
    if if_none_match is None:
        return False
    return if_none_match == etag or any(
        tag.strip().removeprefix("W/") in (etag, "*") for tag in if_none_match.split(",")
    )


def check_match(if_match: str, version: int) -> None:
    """
    Check that If-Match names ``version``. The part after a hyphen is ignored: it belongs to state changed elsewhere.

    Raises:
        Changed: none of the tags names this version.
    """
    for tag in (given.strip() for given in if_match.split(",")):
        if tag == "*" or tag == etag_of(version) or (tag.startswith(f'"{version}-') and tag.endswith('"')):
            return
    raise Changed(
        "changed-meanwhile",
        "This was changed after you read it. Read it again, and repeat the change with the new ETag.",
    )


def required_match(headers: dict[str, str]) -> str:
    """
    Return the required If-Match header.

    Raises:
        Unconditional: the header is missing.
    """
    given = headers.get("if-match", "")
    if not given:
        raise Unconditional("if-match-missing", "Send If-Match with the ETag of the version that you read.")
    return given
