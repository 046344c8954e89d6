"""Defines the types of the members of events, with their bounds."""

from typing import Annotated

from msgspec import Meta

from pulsecart.runtime.bounds import AMOUNT_MAX

# Checked when an event is read, so that one bad event cannot fail others that share its transaction. The schemas have
# the same bounds (pulsecart.runtime.bounds gives the reason). In Python, a $ alone also matches before a last newline.
Id = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)")]
Word = Annotated[str, Meta(max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)")]
Title = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)")]
Text = Annotated[str, Meta(max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
Amount = Annotated[float, Meta(ge=0, le=AMOUNT_MAX)]
Units = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
