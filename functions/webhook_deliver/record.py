"""Records the results of attempts: of the messages, their lanes, the endpoints, and the events about them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime

from pulsecart.runtime.db.database import Tx
from pulsecart.shop.webhooks.attempt import Result
from pulsecart.shop.webhooks.circuit import Circuit, circuit_after
from pulsecart.shop.webhooks.db import attempts, messages, queue
from pulsecart.shop.webhooks.db.queue import Queue
from pulsecart.shop.webhooks.events import DeliveryFailed, SubscriptionDisabled, SubscriptionPaused, SubscriptionResumed
from pulsecart.shop.webhooks.schedule import Step, step_after


async def record(tx: Tx, results: Sequence[Result], random: Callable[[], float]) -> dict[str, datetime | None]:
    """
    Write results, in the order in which the attempts ended.

    Args:
        random: returns a number from 0 to 1, by which the delay before a retry is spread.

    Returns:
        When the next message of each subscription can be claimed, where that has changed.
    """
    ids = {one.attempt.subscription_id for one in results}
    await queue.lock(tx, ids)
    states = await queue.states(tx, list(ids))
    steps = [step_after(one, random()) for one in results]
    await attempts.end(tx, [(one, step.due_at) for one, step in zip(results, steps, strict=True)])
    changed = await messages.step(
        tx, [(one.attempt.message_id, one.attempt.number, step) for one, step in zip(results, steps, strict=True)]
    )
    delivered = [one.attempt for one in results if one.delivered and one.attempt.message_id in changed]
    await messages.promote(tx, [(one.subscription_id, one.lane) for one in delivered if one.lane is not None])
    await _write_circuits(tx, states, results)
    await _emit_failed(tx, [one for one, step in zip(results, steps, strict=True) if _has_failed(one, step, changed)])
    return await queue.recompute(tx, ids)


def _has_failed(result: Result, step: Step, changed: set[str]) -> bool:
    return step.status == "FAILED" and result.attempt.message_id in changed


async def _write_circuits(tx: Tx, states: dict[str, Queue], results: Sequence[Result]) -> None:
    after = {id: state.circuit for id, state in states.items()}
    for one in results:
        id = one.attempt.subscription_id
        after[id] = circuit_after(after[id], one)
    changed = {id: circuit for id, circuit in after.items() if circuit != states[id].circuit}
    if changed:
        await queue.write_circuits(tx, changed)
    for id, circuit in changed.items():
        before = states[id].circuit
        if circuit.status != before.status:
            version = await queue.becomes(tx, id, before, circuit)
            if version is not None:
                _emit_status(tx, states[id], circuit, version)


def _emit_status(tx: Tx, state: Queue, circuit: Circuit, version: int) -> None:
    id, partner_id = state.subscription_id, state.partner_id
    match circuit.status:
        case "FAILING":
            paused = SubscriptionPaused(
                subscriptionId=id, partnerId=partner_id, reason="ENDPOINT_FAILING", failures=circuit.failures
            )
            tx.emit(paused, key=id, sequence=version)
        case "ACTIVE":
            tx.emit(SubscriptionResumed(subscriptionId=id, partnerId=partner_id), key=id, sequence=version)
        case "DISABLED":
            disabled = SubscriptionDisabled(subscriptionId=id, partnerId=partner_id, reason="ENDPOINT_GONE")
            tx.emit(disabled, key=id, sequence=version)


async def _emit_failed(tx: Tx, failed: Sequence[Result]) -> None:
    by_subscription = defaultdict(list)
    for one in failed:
        by_subscription[one.attempt.subscription_id].append(one)
    if not by_subscription:
        return
    versions = await queue.next_versions(tx, {id: len(ones) for id, ones in by_subscription.items()})
    for id, ones in by_subscription.items():
        for sequence, one in enumerate(ones, versions[id] - len(ones) + 1):
            tx.emit(_failed(one), key=id, sequence=sequence)


def _failed(result: Result) -> DeliveryFailed:
    attempt = result.attempt
    return DeliveryFailed(
        subscriptionId=attempt.subscription_id,
        messageId=attempt.message_id,
        eventType=attempt.event_type[:200],
        attempts=attempt.number,
        result=result.result,
        status=result.status or 0,
    )
