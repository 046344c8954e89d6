"""Defines the request bodies about partners."""

from typing import Annotated

from msgspec import Meta, Struct

OVERLAP_S = 86_400
OVERLAP_MAX_S = 7 * 86_400


class SecretBody(Struct, frozen=True):
    """``overlapS``: for so many seconds the earlier secrets stay valid, too."""

    overlapS: Annotated[int, Meta(ge=0, le=OVERLAP_MAX_S)] = OVERLAP_S
