"""Where workers keep what they share of bundles, as the environment names it to them; nothing is imported here."""

from typing import Final

FOLDER: Final = "RECSYS_WORKERS_FOLDER"
"""Environment variable that names the folder of a service with several workers: theirs alone, and gone with them."""
