"""Defines the demo's goods: a flash sale of 1,000 units, and other products."""

import asyncio
from datetime import UTC, datetime

from pulsecart.admin.seed import DemoProduct, DemoSale, load_catalogue

SALE_DAYS = 7
GOODS = (
    DemoProduct(
        "1",
        "PC-HEADPHONES",
        "Pulse One headphones",
        "Over-ear and wireless, 40 hours on one charge, noise cancelling that can be heard through when it must.",
        12900,
        1000,
        2,
        "Audio",
    ),
    DemoProduct(
        "2",
        "PC-KETTLE",
        "Gooseneck kettle",
        "One litre of brushed steel with a spout for slow pouring; holds its temperature to the degree for an hour.",
        5900,
        500,
        0,
        "Kitchen",
    ),
    DemoProduct(
        "3",
        "PC-LAMP",
        "Desk lamp",
        "From warm to cold white, 12 W, on an arm that stays where it is put; the base charges a phone.",
        3450,
        500,
        0,
        "Home office",
    ),
    DemoProduct(
        "4",
        "PC-NOTEBOOK",
        "Dotted notebook",
        "A5, 192 numbered pages of 100 g paper, thread-stitched so that it lies flat.",
        1290,
        500,
        0,
        "Home office",
    ),
    DemoProduct(
        "21",
        "PC-EARBUDS",
        "Pulse Mini earbuds",
        "Wireless, 6 hours and three more charges in the case; rain and sweat do them no harm.",
        7900,
        400,
        0,
        "Audio",
    ),
    DemoProduct(
        "22",
        "PC-SPEAKER",
        "Kitchen speaker",
        "Fills a room from a shelf of 15 cm; splash-proof, with buttons that floury fingers find.",
        9900,
        250,
        0,
        "Audio",
    ),
    DemoProduct(
        "23",
        "PC-GRINDER",
        "Hand coffee grinder",
        "Steel burrs, 36 steps from espresso to French press, 30 g at a time, no motor to wake anybody.",
        8450,
        300,
        0,
        "Kitchen",
    ),
    DemoProduct(
        "24",
        "PC-PAN",
        "Iron frying pan",
        "26 cm, seasoned and ready; better every year, and it outlives its owner.",
        4590,
        300,
        0,
        "Kitchen",
    ),
    DemoProduct(
        "25",
        "PC-KEYBOARD",
        "Low-profile keyboard",
        "75 %, quiet brown switches, three computers at the press of a key; cable or wireless.",
        10900,
        200,
        0,
        "Home office",
    ),
    DemoProduct(
        "26",
        "PC-BACKPACK",
        "Commuter backpack",
        "22 litres of recycled sailcloth, a padded sleeve for 15 inches, straps that do not slip.",
        8900,
        150,
        0,
        "On the way",
    ),
    DemoProduct(
        "27",
        "PC-BOTTLE",
        "Insulated bottle",
        "Half a litre, 12 hours hot or 24 cold; the lid is a cup and the whole is one-handed.",
        2650,
        600,
        0,
        "On the way",
    ),
    DemoProduct(
        "28",
        "PC-UMBRELLA",
        "Storm umbrella",
        "Folds to 28 cm and turns inside out without breaking; fibreglass ribs, tested to 100 km/h.",
        3900,
        0,
        0,
        "On the way",
    ),
)
SALE = DemoSale("flash-1", "1", 4990, SALE_DAYS)


def seed(database_url: str) -> bool:
    """Load the demo into an empty catalogue; return False if the catalogue has products."""
    return asyncio.run(load_catalogue(database_url, GOODS, SALE, datetime.now(UTC)))
