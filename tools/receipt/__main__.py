"""``./scripts/receipt``: measures what scaling to zero costs and saves, per operation, on KUBECONFIG's cluster."""

import argparse
import asyncio
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from tools.receipt.cluster import NoCluster, connected
from tools.receipt.observed import Looked, Observation, PodSeen, read, written
from tools.receipt.pods import counted, remembered
from tools.receipt.receipt import receipt
from tools.receipt.recorder import OURS, QUEUE_PROXY, Recorder
from tools.receipt.shown import svg, table

WIDTH = 100  # of output that is not a terminal
UNITS_S = {"s": 1, "m": 60, "h": 3600, "": 1}
Recording = tuple[list[Observation], list[str]]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    out = Console(width=None if sys.stdout.isatty() else WIDTH)
    operations: list[str] = []
    try:
        if options.read:
            observations = list(read(options.read.read_text().splitlines()))
        elif options.since is not None:
            observations, operations = asyncio.run(_remembered(options.namespace, options.since))
        else:
            observations, operations = asyncio.run(_recorded(options.namespace, options.duration, options.every, out))
        found = receipt(observations, operations)
    except (NoCluster, OSError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201  # a command prints its errors
        return 1
    out.print(table(found))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    if options.svg:
        options.svg.write_text(svg(observations, operations))
    if options.record:
        options.record.write_text("".join(written(one) + "\n" for one in observations))
    return 0


async def _recorded(namespace: str, for_s: float | None, every_s: float, out: Console) -> Recording:
    observations: list[Observation] = []
    created: dict[str, float] = {}

    def note(one: Observation) -> None:
        observations.append(one)
        if isinstance(one, PodSeen) and (word := _word(one, created.setdefault(one.pod, one.created))):
            out.print(f"{time.strftime('%H:%M:%S')}  [bold]{one.operation:18}[/] {word}", highlight=False)

    async with connected(namespace) as cluster:
        operations = await cluster.operations()
        ends = f"for {for_s:.0f} s" if for_s else "until Ctrl-C"
        out.print(f"Recording {len(operations)} operations of namespace {namespace} {ends}.", highlight=False)
        recording = asyncio.ensure_future(Recorder(cluster, note, every_s).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, recording.cancel)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, recording.cancel)
        await asyncio.wait([recording], timeout=for_s)
        recording.cancel()
        try:
            await recording
        except asyncio.CancelledError:
            pass
        except ExceptionGroup as group:
            raise NoCluster(str(group.exceptions[0])) from None
    return observations, operations


def _word(one: PodSeen, created: float) -> str:
    if one.gone:
        return f"a pod is gone after {one.at - created:.0f} s"
    if one.leaving:
        return "a pod leaves"
    if one.ready:
        return f"a pod is Ready, {one.at - created:.2f} s after its creation" if one.at - created < 60 else "has a pod"
    return "a pod is created" if one.at - created < 1 else ""


async def _remembered(namespace: str, back_s: float) -> Recording:
    until = time.time()
    async with connected(namespace) as cluster:
        operations = await cluster.operations()
        pods, _ = await cluster.pods()
        past = remembered(pods, await cluster.events())
        counts = [
            counted(
                one["metadata"]["name"],
                until,
                await cluster.metrics(one["metadata"]["name"], QUEUE_PROXY),
                await cluster.metrics(one["metadata"]["name"], OURS),
            )
            for one in pods
        ]
    here = [one for one in past if one.operation in operations]
    return [Looked(until - back_s), *here, *counts, Looked(until)], operations


def _duration_s(text: str) -> float:
    """``600``, ``90s``, ``10m``, ``2h``"""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write 600, 90s, 10m or 2h")
    return float(found[1]) * UNITS_S[found[2]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "scripts/receipt",
        description="Cold starts, pod-seconds, requests and events of each operation on KUBECONFIG's cluster. Records "
        "until Ctrl-C by default, because a pod's counters are lost with the pod.",
    )
    span = parser.add_mutually_exclusive_group()
    span.add_argument("--for", dest="duration", type=_duration_s, metavar="TIME", help="record for 600, 90s, 10m or 2h")
    span.add_argument(
        "--since",
        type=_duration_s,
        metavar="TIME",
        help="without recording: read the cluster's own history of the last 10m",
    )
    span.add_argument("--read", type=Path, metavar="FILE", help="without a cluster: read a file that --record wrote")
    parser.add_argument("--namespace", "-n", default="pulsecart")
    parser.add_argument(
        "--every", type=_duration_s, default=2.0, metavar="TIME", help="the interval of the readings (2s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the receipt as JSON")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of the pods over time")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write all readings, for --read")
    return parser


if __name__ == "__main__":
    sys.exit(main())
