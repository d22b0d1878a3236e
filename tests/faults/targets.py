"""How soon everything must be well again after a fault, in seconds, and what is published meanwhile."""

from typing import Final

AFTER_A_WORKER_DIED: Final = 5.0
AFTER_AN_OUTAGE: Final = 15.0
AFTER_A_SILENT_STALL: Final = 30.0
TO_THE_SITE: Final = 25.0
"""From a verdict to its webhook, when the notifier or its endpoint were in trouble: its lease must end, and the next look."""

RATE: Final = 200
"""Posts a second."""
POSTS: Final = 2000
FEWER_POSTS: Final = 1000
"""In the tests that run by default."""
