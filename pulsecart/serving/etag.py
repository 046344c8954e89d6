"""ETag, If-Match and If-None-Match (RFC 9110 §13): which version the other side has."""

from pulsecart.runtime.problem import Changed, Unconditional


def etag_of(version: int) -> str:
    """``"7"``. What is shown beside the version follows it after a hyphen: ``"7-12"``."""
    return f'"{version}"'


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Whether the other side's copy is this one: 304. Compared weakly, as the RFC says."""
    if if_none_match is None:
        return False
    return if_none_match == etag or any(
        tag.strip().removeprefix("W/") in (etag, "*") for tag in if_none_match.split(",")
    )


def check_match(if_match: str, version: int) -> None:
    """
    Raises:
        Changed: none of the tags names this version. What follows it is of no account: it is changed elsewhere.
    """
    for tag in (given.strip() for given in if_match.split(",")):
        if tag == "*" or tag == etag_of(version) or (tag.startswith(f'"{version}-') and tag.endswith('"')):
            return
    raise Changed("changed-meanwhile", "Somebody changed this since you read it; read it again, then repeat.")


def required_match(headers: dict[str, str]) -> str:
    """
    Raises:
        Unconditional: there is no If-Match.
    """
    given = headers.get("if-match", "")
    if not given:
        raise Unconditional("if-match-missing", "Send If-Match with the ETag of the version that you read.")
    return given
