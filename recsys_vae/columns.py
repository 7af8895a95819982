"""Names of the columns that tables have in common, written once."""

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
