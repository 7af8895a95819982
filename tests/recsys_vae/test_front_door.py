import subprocess
import sys

import pytest

import recsys_vae


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "polars", "scipy", "faiss", "mlflow")
    code = f"import sys, recsys_vae; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert [name for name in recsys_vae.__all__ if not hasattr(recsys_vae, name)] == []
    assert set(recsys_vae.__all__) <= set(dir(recsys_vae))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="MultVEA"):
        _ = recsys_vae.MultVEA
