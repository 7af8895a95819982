"""Names of the columns that tables have in common, written once."""

from datetime import UTC, datetime
from typing import Final

USER: Final = "user_id"
ITEM: Final = "item_id"
EVENT_TYPE: Final = "event_type"
WEIGHT: Final = "weight"
TIMESTAMP: Final = "timestamp"
POSITION: Final = "position"
"""Order of an event within its user, from 0."""

INTERACTION_COLUMNS: Final = (USER, ITEM, EVENT_TYPE, WEIGHT, TIMESTAMP, POSITION)

RANK: Final = "rank"
"""Place in a list of recommendations, from 1."""
SCORE: Final = "score"
TIER: Final = "tier"
SOURCE: Final = "source"
REASON: Final = "reason"
POPULARITY: Final = "popularity"
"""Number of users who have interacted with an item."""

ORDER = "order"
TRAINING_MATRICES = ("dislikes", ORDER)
HELD_OUT_MATRICES = ("dislikes", "disliked_later", ORDER)
"""Optional matrices beside the interactions of a training part, and beside histories and targets, of their shape. In
`Split` the name of the part stands before the former."""

LEAST_WEIGHT, GREATEST_WEIGHT = 1e-6, 1e12
"""The weights that an interaction may have: their squares, and sums of these, are finite and above 0 in float32."""

LONGEST_ID = 512
"""Characters of the longest id of a user or item."""

EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""The times that a timestamp may hold: those that can be written with any offset from UTC, and so be given back."""
