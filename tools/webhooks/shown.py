"""Formats subscriptions, messages and attempts as lines for a terminal."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pulsecart.runtime.printable import printable

MANY = 10_000  # a count that means so many or more
INDENT = "    "
Document = dict[str, Any]


def as_json(document: Any) -> str:
    """Return a document as indented JSON, safe for a terminal."""
    return json.dumps(document, indent=2) + "\n"


def subscription_lines(subscription: Document, backlog: Document) -> Iterator[str]:
    """Yield the lines of one subscription in a list."""
    counts = f"{_count(backlog['messages'])} waiting, {_count(backlog['failed'])} failed"
    yield f"{subscription['subscriptionId']}  {subscription['status']}  {counts}"
    yield f"{INDENT}{printable(subscription['url'])}"
    yield f"{INDENT}{', '.join(map(printable, subscription['eventTypes']))}"
    if "statusReason" in subscription:
        yield f"{INDENT}{printable(subscription['statusReason'])}"


def message_line(message: Document) -> str:
    """Return one message of a list."""
    attempts = "in flight" if message["inFlight"] else counted(message["attempts"], "attempt")
    next_try = f", next {_time(message['nextTryAt'])}" if "nextTryAt" in message else ""
    example = ", example" if message["example"] else ""
    about = f"  {printable(message['subject'])}" if "subject" in message else ""
    head = f"{message['messageId']}  {_time(message['createdAt'])}  {message['status']}"
    return f"{head}  {attempts}{next_try}{example}\n{INDENT}{printable(message['eventType'])}{about}"


def logged_line(attempt: Document) -> str:
    """Return one attempt of a subscription's log."""
    head = f"{_time(attempt['beganAt'])}  {printable(attempt['eventType'])}  {attempt['messageId']}"
    return f"{head} #{attempt['number']}\n{INDENT}{_outcome(attempt, attempt.get('responseStatus'))}"


def attempt_lines(attempt: Document, *, whole: bool) -> Iterator[str]:
    """
    Yield the lines of one attempt of a message.

    Args:
        whole: with the headers and bodies of request and answer.
    """
    request, response = attempt["request"], attempt.get("response")
    yield f"#{attempt['number']}  {_time(attempt['beganAt'])}  POST {printable(request['url'])}"
    yield f"{INDENT}{_outcome(attempt, response and response['status'])}"
    if whole:
        yield from _part("> ", request)
        if response:
            yield f"{INDENT}< {response['status']}"
            yield from _part("< ", response)


def text_of(lines: Iterable[str]) -> str:
    """Join lines."""
    return "".join(f"{line}\n" for line in lines)


def counted(number: int, noun: str) -> str:
    """Return ``1 message`` or ``2 messages``."""
    return f"{_count(number)} {noun}" + ("" if number == 1 else "s")


def _part(mark: str, part: Document) -> Iterator[str]:
    headers: Sequence[tuple[str, str]] = part["headers"]
    for name, value in headers:
        yield f"{INDENT}{mark}{printable(name)}: {printable(value)}"
    for line in part["body"].splitlines():
        yield f"{INDENT}{mark.strip()}| {printable(line)}"


def _outcome(attempt: Document, status: int | None) -> str:
    if "endedAt" not in attempt:
        return "in flight"
    words = [printable(attempt["result"])]
    if status:
        words.append(f"answer {status}")
    elif "error" in attempt:
        words.append(printable(attempt["error"]))
    words.append(f"{attempt['durationMs']:.0f} ms")
    if "nextTryAt" in attempt:
        words.append(f"next try {_time(attempt['nextTryAt'])}")
    return ", ".join(words)


def _count(number: int) -> str:
    return f"{number:,}" + ("+" if number >= MANY else "")


def _time(moment: str) -> str:
    """Return an RFC 3339 time without its fraction: ``2026-11-30 08:00:00Z``."""
    return f"{moment[:10]} {moment[11:19]}Z"
