"""What an answer means for a delivery follows the schedule of Standard Webhooks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from modq_worker.delivery_outcome import DAY, WAITS, Answer, interrupted, outcome, retry_after

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    assert outcome(Answer(status), 1, 0).state == "delivered"


@pytest.mark.parametrize("answer", [Answer(199), Answer(301), Answer(404), Answer(500), Answer(error="no answer within 10 s")])
def test_anything_else_is_tried_again(answer: Answer) -> None:
    result = outcome(answer, 1, 0)
    assert (result.state, result.wait, result.disable) == ("pending", 5, None)
    assert result.error


def test_the_waits_grow_over_three_days_and_then_end() -> None:
    waits = [outcome(Answer(500), attempt, 0).wait for attempt in range(1, 10)]
    assert waits == list(WAITS)
    assert 3 * DAY < sum(waits) < 4 * DAY
    assert outcome(Answer(500), 10, 0).state == "failed"


def test_jitter_lengthens_a_wait_by_a_fifth_at_most() -> None:
    assert outcome(Answer(500), 2, 0.999).wait == pytest.approx(360, abs=1)


@pytest.mark.parametrize("status", [429, 503])
def test_an_endpoint_that_asks_for_quiet_gets_it(status: int) -> None:
    result = outcome(Answer(status, retry_after=600), 1, 0)
    assert (result.wait, result.pause) == (600, 600)


def test_an_endpoint_cannot_ask_for_more_than_a_day_nor_for_a_shorter_wait() -> None:
    assert outcome(Answer(429, retry_after=1e9), 1, 0).wait == DAY
    assert outcome(Answer(429, retry_after=0), 2, 0).wait == 300


def test_retry_after_counts_with_no_other_status() -> None:
    assert outcome(Answer(500, retry_after=600), 1, 0).pause == 0


def test_gone_disables_the_endpoint_and_keeps_the_delivery() -> None:
    result = outcome(Answer(410), 1, 0)
    assert (result.state, result.disable) == ("pending", "the endpoint answered 410 Gone")


def test_what_we_broke_off_goes_again_at_once() -> None:
    assert (interrupted().state, interrupted().wait) == ("pending", 0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 5 ", 5),
        ("Tue, 24 Nov 2026 12:01:00 GMT", 60),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
        ("Tue, 99 Nov 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after_holds_seconds_or_a_date_or_nonsense(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds
