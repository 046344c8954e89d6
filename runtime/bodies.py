"""Request bodies, decoded and checked once: what is wrong with one is said with the place and the reason."""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from shop.problem import Malformed

Id = (
    Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")] | Annotated[int, Meta(ge=0, lt=10**15)]
)
Quantity = Annotated[int, Meta(ge=1, le=1000)]
LINES_MAX = 20


class PurchaseBody(Struct, frozen=True):
    """The seed's purchase: ids are strings or numbers."""

    productId: Id
    userId: Id
    quantity: Quantity = 1


class LineBody(Struct, frozen=True):
    productId: Id
    qty: Quantity


class OrderBody(Struct, frozen=True):
    userId: Id
    items: Annotated[list[LineBody], Meta(min_length=1, max_length=LINES_MAX)]


Body = TypeVar("Body")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoded(body: bytes, kind: type[Body]) -> Body:
    """
    Raises:
        Malformed: not JSON, or not of this shape.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        result: Body = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Malformed("body-invalid", f"The body does not fit: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("body-not-json", f"The body is not JSON: {error}.") from None
    return result
