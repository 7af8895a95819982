"""Bundles that were in service: found by version, in memory, where they were taken from, or where one is named."""

from collections.abc import Iterator
from json import JSONDecodeError, loads
from pathlib import Path

from recsys_vae.bundles.manifest import MANIFEST
from recsys_vae.errors import BundleError, RecsysError
from recsys_vae.recommender import FallbackChain
from service.deployment.bundle_sources import Patience, is_model, open_catalogue
from service.deployment.loader import Held
from service.settings import Settings
from service.store.deployments import DeploymentTable


class PastBundles:
    """Chains by version; what is found stays in memory as long as this does.

    Args:
        deployments: the record of what was in service, and where that was taken from.
        settings: which name the bundle root, and how long a registry is waited for.
        held: what is in memory already.
        named: a directory beside these.
    """

    def __init__(self, deployments: DeploymentTable, settings: Settings, held: Held, named: Path | None = None) -> None:
        self._deployments = deployments
        self._settings = settings
        self._named = named
        self._found: dict[str, FallbackChain] = {version: catalogue.chain for version, catalogue in held.items()}

    def chain(self, version: str) -> FallbackChain:
        """The bundle of a version.

        Raises:
            BundleError: it is nowhere.
            UnavailableError: the store does not answer.
        """
        if version not in self._found:
            self._found[version] = self._opened(version)
        return self._found[version]

    def _opened(self, version: str) -> FallbackChain:
        patience = Patience(self._settings.registry_seconds, self._settings.download_seconds)
        for source in dict.fromkeys(self._places(version)):
            try:
                found = open_catalogue(source, patience)
            except RecsysError:  # it has gone from there; it may be elsewhere
                continue
            if found.version == version:
                return found.chain
        raise BundleError(
            f"This needs the bundle {version}, which is neither in service here, nor where it was taken from, nor "
            "below the bundle root (RECSYS_BUNDLE_ROOT). Name a copy: `recsys replay REQUEST_ID --bundle PATH`."
        )

    def _places(self, version: str) -> Iterator[str]:
        """Where it may be, the likeliest first; directories only where their manifest says so."""
        if self._named is not None:
            yield str(self._named)
        for deployment in self._deployments.from_generation(0):
            for part in deployment.plan.parts:
                if part.version == version and (is_model(part.source) or _is_of(Path(part.source), version)):
                    yield part.source
        root = self._settings.bundle_root
        if root is not None and root.is_dir():
            yield from (str(path.parent) for path in sorted(root.rglob(MANIFEST)) if _is_of(path.parent, version))


def _is_of(directory: Path, version: str) -> bool:
    try:
        told = loads((directory / MANIFEST).read_bytes())
    except (OSError, JSONDecodeError, UnicodeDecodeError):
        return False
    return isinstance(told, dict) and told.get("version") == version
