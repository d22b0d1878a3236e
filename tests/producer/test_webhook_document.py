"""docs/webhooks.md is true: its example is what is sent, and its table names every field."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.producer.test_flag import FLAG

from modq.flag import encode_flag
from modq.severity import SEVERITIES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()


def test_the_example_is_the_body_that_is_sent() -> None:
    [example] = re.findall(r"^```json\n(.*?)^```$", DOCUMENT, re.M | re.S)
    assert json.loads(example) == json.loads(encode_flag(FLAG))


def test_the_table_names_every_field_in_the_order_of_the_body() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.M)
    assert documented == list(json.loads(encode_flag(FLAG))["data"])


def test_the_table_names_every_severity() -> None:
    [row] = re.findall(r"^\| `severity` \|.*$", DOCUMENT, re.M)
    assert [word for word in re.findall(r"`(\w+)`", row) if word != "severity"] == list(SEVERITIES)
