"""Sources: what may be loaded while the service runs. Nothing outside the bundle root and the registry is read."""

from pathlib import Path
from typing import Final

from recsys_vae.tracking_store import REGISTERED_MODEL
from service.errors import FieldError
from service.settings import Settings

FIELD: Final = "body.source"


def permitted(asked: str, settings: Settings) -> str:
    """A source that a caller has named, if it may be loaded.

    Raises:
        FieldError: it lies outside the bundle root, or is no registered model.
    """
    if asked in [source for _, _, source in settings.sources]:
        return asked
    if asked.startswith("models:"):
        if REGISTERED_MODEL.fullmatch(asked) is None:  # other addresses of MLflow's lead anywhere
            raise FieldError(FIELD, "a model is named by models:/NAME@ALIAS or models:/NAME/VERSION")
        return asked
    return str(_below(asked, settings.bundle_root))


def _below(asked: str, root: Path | None) -> Path:
    if root is None:
        message = "this service has no bundle root (RECSYS_BUNDLE_ROOT), so that no directory can be named"
        raise FieldError(FIELD, message)
    try:
        base = root.resolve()
        found = (base / asked).resolve()
    except (OSError, ValueError, RuntimeError):  # too long, not a path, or links in a circle
        raise FieldError(FIELD, "this is no path of a directory") from None
    if base == found or not found.is_relative_to(base):
        raise FieldError(FIELD, "this lies outside the bundle root; name a directory below it")
    return found
