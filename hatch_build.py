"""The build step: compiles the loops into a wheel, in place for an editable install (recsys_vae/native/build.py)."""

import runpy
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

NATIVE = Path("recsys_vae", "native")


class CompiledLoops(BuildHookInterface):
    """Hatchling's hook of this project; a wheel without compiled loops is one for any platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say what belongs into the wheel."""
        native = Path(self.root) / NATIVE
        self.folder = native / "compiled" if version == "editable" else Path(mkdtemp(prefix="recsys-loops-"))
        # Not imported: the package's own dependencies are not there when it is built.
        made = runpy.run_path(str(native / "build.py"))["build"](self.folder, self.app.display_warning)
        if version == "editable":
            return
        build_data["force_include"] |= {str(path): str(NATIVE / "compiled" / path.name) for path in made}
        if any(path.suffix == ".so" for path in made):
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{_platform()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled for the wheel and is in it now."""
        if version != "editable":
            shutil.rmtree(self.folder)


def _platform() -> str:
    """The machine's own: a wheel for other Linux systems is made of it by auditwheel."""
    return next(tag for tag in platform_tags() if not tag.startswith(("manylinux", "musllinux")))
