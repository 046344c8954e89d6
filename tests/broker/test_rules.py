"""Computes backoff, verdicts, dead letters and schedules without I/O."""

from base64 import b64decode
from datetime import UTC, datetime

import pytest

from pulsecart.broker.dead_letters.letters import dead_letter
from pulsecart.broker.delivery import Answer, Delivery, Destination, judge
from pulsecart.broker.schedule import BadSchedule, Schedule
from pulsecart.serving import cloudevents
from tests.broker.stage import event

SINK = Destination("keep-dead-letter", "http://keep-dead-letter.default.svc.cluster.local")


@pytest.mark.parametrize(
    ("exponential", "waits"),
    [(True, [0.2, 0.4, 0.8, 1.6]), (False, [0.0, 0.2, 0.4, 0.6])],
    ids=["exponential", "linear"],
)
def test_the_wait_grows_as_in_knative_whose_count_begins_at_nought(exponential: bool, waits: list[float]) -> None:
    delivery = Delivery(dead_letter_sink=SINK, exponential=exponential)
    assert [delivery.backoff_s(attempts) for attempts in (1, 2, 3, 4)] == pytest.approx(waits)


def test_the_default_delivery_may_take_nine_minutes() -> None:
    assert Delivery(dead_letter_sink=SINK).longest_s == pytest.approx(204.6 + 11 * 30)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 404, 408, 409, 429])
def test_these_answers_mean_again(status: int) -> None:
    assert judge(Answer(status, {}, b"why")) == ("again", None, status, b"why")


@pytest.mark.parametrize("status", [300, 302, 400, 401, 403, 405, 410, 415, 422, 499, 100])
def test_these_answers_mean_never(status: int) -> None:
    assert judge(Answer(status, {}, b"")).verdict == "never"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_an_empty_2xx_means_done(status: int) -> None:
    assert judge(Answer(status, {"content-type": "application/json"}, b"")) == ("done", None, 0, b"")


def test_a_2xx_with_a_body_that_is_no_event_counts_as_502() -> None:
    assert judge(Answer(200, {"content-type": "text/plain"}, b"OK")) == ("again", None, 502, b"OK")
    unreadable = judge(Answer(200, {"content-type": cloudevents.STRUCTURED}, b"{"))
    assert (unreadable.verdict, unreadable.code) == ("again", 502)


def test_half_an_event_in_the_reply_is_refused_as_by_the_ingress() -> None:
    half = judge(Answer(200, {"ce-specversion": "1.0", "ce-id": "1"}, b""))
    assert (half.verdict, half.code) == ("never", 400)


def test_an_event_in_the_reply_is_routed_whichever_2xx_it_came_with() -> None:
    reply = event()
    headers, body = cloudevents.binary(reply)
    assert [judge(Answer(status, headers, body)).event for status in (200, 201, 202)] == [reply] * 3


def test_a_dead_letter_is_the_event_with_its_cause_of_bounded_size() -> None:
    sent = event(orderstatus="pending")
    letter = dead_letter(sent, Destination("reserve", "http://reserve/reserve-order"), 503, b"x" * 5000)
    assert letter.extensions["knativeerrordest"] == "http://reserve/reserve-order"
    assert letter.extensions["knativeerrorcode"] == "503"
    assert len(letter.extensions["knativeerrordata"]) <= 1024
    assert b64decode(letter.extensions["knativeerrordata"]) == b"x" * 768
    assert (letter.id, letter.data, letter.extensions["orderstatus"]) == (sent.id, sent.data, "pending")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "now", "tick"),
    [
        ("*/5 * * * *", "UTC", "2026-01-01T10:01:00+00:00", "2026-01-01T10:05:00+00:00"),
        ("*/5 * * * *", "UTC", "2026-01-01T10:05:00+00:00", "2026-01-01T10:10:00+00:00"),
        ("*/10 * * * * *", "UTC", "2026-01-01T10:00:01+00:00", "2026-01-01T10:00:10+00:00"),
        ("0 9 * * MON", "Europe/Berlin", "2026-07-01T00:00:00+00:00", "2026-07-06T07:00:00+00:00"),
        ("0 9 ? * *", "America/New_York", "2026-01-01T00:00:00+00:00", "2026-01-01T14:00:00+00:00"),
        ("@daily", "UTC", "2026-01-01T10:00:00+00:00", "2026-01-02T00:00:00+00:00"),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00+00:00",
            "2026-03-29T01:00:00+00:00",
        ),  # 02:30 does not exist
    ],
)
def test_a_schedule_ticks_in_its_zone(cron: str, zone: str, now: str, tick: str) -> None:
    assert Schedule(cron, zone).after(at(now)) == at(tick)


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "@every 5m", "0 0 L * *", "0 0 1W * *", "0 0 * * 5#2"])
def test_what_knative_does_not_read_is_no_schedule(cron: str) -> None:
    with pytest.raises(BadSchedule):
        Schedule(cron)
