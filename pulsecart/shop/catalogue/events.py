"""Defines the data of the events about products."""

from pulsecart.runtime.event import Message
from pulsecart.shop.event_fields import Amount, Id, Text, Title, Word


class ProductUpdated(Message, frozen=True, kw_only=True):
    """A version of a product, including its first and its last; ``price`` is the list price of one unit."""

    TYPE = "ecommerce.product.product.updated.v1"
    productId: Id
    sku: Word
    name: Title
    description: Text
    category: Word
    price: Amount
    currency: Word
    status: Word
