"""Versions: what decides the bytes of a result, so that no node of a cluster computes by other rules than the rest."""

import platform
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pipelines
import recsys_vae
from recsys_vae.errors import ConfigError

LIBRARIES = ("numpy", "polars", "scipy", "torch")


@cache
def versions() -> Mapping[str, str]:
    """Of the product, its source, Python and libraries, as this process has them."""
    return {
        "recsys-vae": recsys_vae.__version__,
        "source of recsys-vae": _digest(),
        "Python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """What differs, in words; empty where nothing does."""
    found = [f"{name} {there.get(name)} (here {here[name]})" for name in here if there.get(name) != here[name]]
    return ", ".join(found)


def check_expected(expected: Mapping[str, str]) -> None:
    """Raise ConfigError where this process is not as expected: its node may have joined after others were asked."""
    if other := differences(expected, versions()):
        raise ConfigError(f"A node that joined has other versions, and its results might differ: {other}.")


def _digest() -> str:
    """Of all modules: between two releases the version alone does not tell."""
    digest = sha256()
    for package in (recsys_vae, pipelines):
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
