"""scripts/webhooks: shows a partner's webhooks, sends messages again, and forwards events to this machine."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from pulsecart.runtime.contracts import event_types
from pulsecart.runtime.printable import printable
from pulsecart.shop.webhooks.patterns import sent_types
from tools.webhooks.commands import Declined
from tools.webhooks.credentials import NoToken, credentials
from tools.webhooks.event_names import EVERYTHING, full_pattern
from tools.webhooks.listen import Forwarding, listen
from tools.webhooks.options import parsed
from tools.webhooks.shop import Failed, Unreachable, opened


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit status 0: done; 1: refused, or done in part; 2: wrong options, no shop or no token."""
    options = parsed(arguments)
    try:
        return asyncio.run(_run(options))
    except (NoToken, Declined, Unreachable) as reason:
        return _complain(reason, 2)
    except Failed as reason:
        return _complain(reason, 1)
    except KeyboardInterrupt:
        return 130


async def _run(options: argparse.Namespace) -> int:
    chosen = credentials(options, os.environ)
    async with opened(chosen.url, chosen.token) as shop:
        if options.act is None:
            return await listen(shop, _forwarding(options))
        status: int = await options.act(shop, options)
        return status


def _forwarding(options: argparse.Namespace) -> Forwarding:
    names = [name.strip() for given in options.events or () for name in given.split(",")]
    known = sent_types(event_types())
    patterns = [full_pattern(name, known) for name in names if name] or [EVERYTHING]
    return Forwarding(options.forward_to, patterns, options.json)


def _complain(reason: Exception, status: int) -> int:
    sys.stderr.write(f"webhooks: {printable(str(reason))}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
