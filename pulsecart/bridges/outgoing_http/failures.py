"""Translates aiohttp's errors into the reasons of a Failure."""

import os
import ssl

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientOSError,
    ClientResponseError,
    ServerDisconnectedError,
    ServerTimeoutError,
)

from pulsecart.bridges.outgoing_http.results import Failure

DETAIL_MAX = 200
CLOSED = "it closed the connection without an answer"


def failure_of(error: Exception) -> Failure:
    """Return the Failure for an error of aiohttp; its detail has none of our addresses."""
    match error:
        case ClientConnectorCertificateError():
            return Failure("tls", _certificate(error.certificate_error))
        case ClientConnectorSSLError():
            return Failure("tls", f"no TLS connection: {_reason(error.os_error)}")
        case ServerTimeoutError():
            return Failure("timeout", "it accepted no connection in time")
        case ClientConnectorError(os_error=ConnectionResetError() | BrokenPipeError()) | ServerDisconnectedError():
            return Failure("reset", CLOSED)
        case ClientConnectorError():
            return Failure("connect", _reason(error.os_error))
        case ClientOSError():
            return Failure("reset", "it reset the connection")
        case ClientResponseError():
            return Failure("protocol", f"its answer is no valid HTTP: {_printable(error.message)}")
        case ClientError():
            return Failure("reset", "the connection broke off")
    return Failure("protocol", "its answer is no valid HTTP")


def is_lost(error: Exception) -> bool:
    """Return whether the connection ended before the first byte of an answer."""
    if isinstance(error, ServerDisconnectedError):
        return isinstance(error.message, str)  # otherwise it is a part of an answer
    return isinstance(error, ClientOSError) and not isinstance(error, ClientConnectorError)


def _certificate(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {_printable(error.verify_message)}"
    return "its certificate is not valid"


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return _printable(error.reason or "handshake failed").lower().replace("_", " ")
    return os.strerror(error.errno) if error.errno else "it could not be reached"


def _printable(text: str) -> str:
    line = text.strip().partition("\n")[0].rstrip(":")
    return "".join(one if one.isprintable() else "?" for one in line)[:DETAIL_MAX]
