"""The pages that browser tests open: an address a line."""

from typing import Final

PAGES: Final = (
    "/ui",
    "/ui/login",
    "/ui/users",
    "/ui/users/1",
    "/ui/users/1?add=260&filter=is:genres:Drama&item=1",
)
