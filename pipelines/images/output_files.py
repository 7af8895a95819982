"""Where pictures and tables of image models go: a file, and the tracked run that the model came from."""

import io
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from recsys_vae.atomic import write_atomically
from recsys_vae.errors import ConfigError, RecsysError
from recsys_vae.frames import columns_in
from recsys_vae.outputs import FileProduct, Product, check_output, marked_product
from recsys_vae.training.tracking import answering, connect

PICTURES = (".png", ".svg", ".pdf")
TABLES = (".parquet", ".csv")
DPI = 144
FOLDER = "images"
"""Of the artifacts of a run."""
MADE_BY = "recsys images"
"""Stands in every picture, so that it may be replaced."""
PICTURE = marked_product(f"a picture by `{MADE_BY}`", MADE_BY.encode())


def _is_table(path: Path) -> bool:
    if path.suffix.lower() == ".csv":
        with path.open("rb") as file:
            return file.readline().startswith(b"image,label,")
    return columns_in(path)[:2] == ["image", "label"]


TABLE = FileProduct(f"a table by `{MADE_BY}`", _is_table)


def check_place(path: Path, endings: tuple[str, ...], product: Product) -> Path:
    """The absolute path of a file to write; `check_ending` and `check_output` say what is refused."""
    return check_output(check_ending(path, endings), product)


def check_ending(path: Path, endings: tuple[str, ...]) -> Path:
    """The path as it came.

    Raises:
        ConfigError: its name ends in none of the endings, which say the format.
    """
    if path.suffix.lower() not in endings:
        raise ConfigError(f"The name of the file says its format: {', '.join(endings)}; got {path.name!r}.")
    return path


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture in the format that its name ends in.

    Raises:
        ConfigError: no such format, or something else stands there.
    """
    file, ending = io.BytesIO(), check_ending(path, PICTURES).suffix.lower()
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(ending, {})
    made_by = {"Software" if ending == ".png" else "Creator": MADE_BY}
    figure.savefig(file, format=ending[1:], dpi=DPI, metadata=undated | made_by)
    write_atomically(path, file.getvalue(), PICTURE)


def save_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as Parquet or CSV, as its name ends; a CSV has a column for each number of an array.

    Raises:
        ConfigError: no such format, or something else stands there.
    """
    file = io.BytesIO()
    if check_ending(path, TABLES).suffix.lower() == ".parquet":
        table.write_parquet(file)
    else:
        _flat(table).write_csv(file)
    write_atomically(path, file.getvalue(), TABLE)


def keep_with_run(path: Path, run_id: str | None) -> str:
    """Add a file to the artifacts of the run that its model came from; returns what became of it, in words.

    Nothing is lost where that does not work, so it is said and no error.
    """
    if run_id is None:
        return "not tracked: the model names no run"
    try:
        client = connect()
        with answering():
            client.log_artifact(run_id, str(path), FOLDER)
    except RecsysError as error:
        return f"not tracked: {error}"
    return f"tracked in run {run_id}"


def _flat(table: pl.DataFrame) -> pl.DataFrame:
    arrays = [name for name, kind in table.schema.items() if isinstance(kind, pl.Array)]
    columns = [
        pl.col(name).arr.get(place).alias(f"{name}_{place}") for name in arrays for place in range(_width(table, name))
    ]
    return table.select(pl.exclude(arrays), *columns)


def _width(table: pl.DataFrame, name: str) -> int:
    kind = table.schema[name]
    assert isinstance(kind, pl.Array)
    return kind.size
