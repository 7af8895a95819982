"""Bad input at the command line: exit status 1, one line that says what to do, no traceback."""

import errno
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from pipelines import cli
from recsys_vae.bundles.bundle import write_bundle
from recsys_vae.bundles.manifest import Provenance
from tests.pipelines.datasets_of_tastes import dataset_of_tastes
from tests.worlds import two_tastes, untrained

LOG = "user_id,item_id,rating\na,x,5\nb,y,4\n"


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], recsys_home: Path):  # type: ignore[no-untyped-def]
    def run(*arguments: str | Path) -> str:
        monkeypatch.setattr("sys.argv", ["recsys", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert "Traceback" not in error
        return error

    return run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    world = two_tastes()
    write_bundle(
        tmp_path / "bundle",
        untrained("mult-vae", 12),
        world.items,
        popularity=world.item_counts(),
        provenance=Provenance(dataset="tastes", trained_on="split:strong/train"),
    )
    return tmp_path / "bundle"


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("user_id,item_id,rating\n", "empty"),
        ("", "empty"),
        ("user,item_id\na,x\n", "user_id"),
        ("1;2\n1;3\n", "--columns"),
        ("user_id,item_id,rating\na,x,much\n", "not a number"),
    ],
    ids=["no rows", "no bytes", "missing column", "no header", "wrong type"],
)
def test_a_bad_log_is_refused(refused, tmp_path: Path, log: str, message: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "log.csv").write_text(log)
    assert message in refused("ingest", tmp_path / "log.csv", "--to", "new")


def test_duplicate_ids_in_metadata_are_refused(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "items.csv").write_text("item_id,title\nx,One\nx,Two\n")
    error = refused("ingest", tmp_path / "log.csv", "--items", tmp_path / "items.csv", "--to", "new")
    assert "more than once" in error
    error = refused("ingest", tmp_path / "log.csv", "--items", tmp_path / "none.csv", "--to", "new")
    assert "none.csv" in error


def test_names_that_do_not_exist_are_refused(refused, tmp_path: Path, bundle: Path) -> None:  # type: ignore[no-untyped-def]
    dataset = dataset_of_tastes(tmp_path / "tastes")
    to = ("--to", tmp_path / "new")
    assert "mult-vae" in refused("train", dataset.path, "--model", "mult-vea", *to)
    assert "strong" in refused("train", dataset.path, "--split", "strang", *to)
    assert "hidden" in refused("train", dataset.path, "--set", "hiden=3", *to)
    assert "NAME=VALUE" in refused("train", dataset.path, "--set", "hidden", *to)
    assert "no effect" in refused("train", dataset.path, "--model", "ease", "--epochs", "3", *to)
    assert "no effect" in refused("train", dataset.path, "--model", "ease", "--reference", *to)
    assert "twice" in refused("train", dataset.path, "--epochs", "3", "--set", "epochs=3", *to)
    assert "--trending-days is above 0" in refused("train", dataset.path, "--trending-days", "0", *to)
    assert "--trending-days is above 0" in refused("train", dataset.path, "--trending-days", "1e4", *to)
    assert "--session-minutes" in refused("train", dataset.path, "--session-minutes", "-1", *to)
    assert "the kinds are:" in refused("train", dataset.path, "--bought", "purchse", *to)
    assert "no.toml" in refused("train", dataset.path, "--settings", tmp_path / "no.toml", *to)
    (tmp_path / "ease.toml").write_text('model = "ease"')
    assert "Leave one out" in refused(
        "train", dataset.path, "--settings", tmp_path / "ease.toml", "--model", "mult-vae", *to
    )
    assert "hnsw" in refused("train", dataset.path, "--index", "hsnw", *to)
    assert "dataset" in refused("recommend", bundle, "nowhere", *to)
    assert "no.csv" in refused("ingest", tmp_path / "no.csv", *to)
    assert not (tmp_path / "new").exists()
    assert "--overwrite" in refused("train", dataset.path, "--to", bundle)


def test_bad_bundles_are_refused(refused, tmp_path: Path, bundle: Path) -> None:  # type: ignore[no-untyped-def]
    dataset = dataset_of_tastes(tmp_path / "tastes")
    arguments = ("recommend", bundle, dataset.path, "--to", tmp_path / "lists.parquet")
    assert "at least 1" in refused(*arguments, "--k", "0").splitlines()[-1]
    assert ".parquet" in refused(*arguments[:-1], tmp_path / "lists.txt")
    weights = bundle / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    assert "cut short" in refused(*arguments)
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "weights.safetensors" in refused(*arguments)
    weights.write_bytes(whole)
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"n_items": 11}))
    assert "checksum" in refused(*arguments)
    assert "not a bundle" in refused("serve", tmp_path)
    assert not (tmp_path / "lists.parquet").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--kl-cycles", "0", "kl_cycles"),
        ("--free-bits", "-1", "free_bits"),
        ("--likelihood", "guess", "exact, chunked, sampled; got 'guess'"),
        ("--weight-decay", "-1", "weight_decay"),
        ("--learning-rate-decay", "2", "learning_rate_decay"),
    ],
)
def test_training_settings_out_of_range_are_refused(  # type: ignore[no-untyped-def]
    refused, tmp_path: Path, option: str, value: str, message: str
) -> None:
    """So each option reaches the training."""
    assert message in refused("train", "nothing", "--to", tmp_path / "bundle", option, value)


def test_the_help_lists_every_verb() -> None:
    result = CliRunner().invoke(cli.build(), ["--help"])
    verbs = (
        "data",
        "ingest",
        "explain-data",
        "split",
        "models",
        "train",
        "tune",
        "evaluate",
        "publish",
        "promote",
        "rollback",
        "recommend",
    )
    for verb in (*verbs, "embed", "serve", "load-history", "doctor"):
        assert verb in result.output


@pytest.mark.parametrize(
    ("rank", "verb", "said"),
    [("0", "train", True), ("1", "train", False), ("0", "images train", True), ("0", "index tune", False)],
)
def test_ctrl_c_says_how_to_go_on_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: str, verb: str, said: bool
) -> None:
    app = typer.Typer()

    @app.command(context_settings={"allow_extra_args": True})
    def any_verb() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "build", lambda *_: app)
    monkeypatch.setattr("sys.argv", ["recsys", *verb.split()])
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
    assert ("--resume" in capsys.readouterr().err) == said


def test_verbs_that_are_said_to_go_on_have_the_option() -> None:
    for words in cli.RESUMED:
        command = typer.main.get_command(cli.build())
        for word in words:
            command = vars(command)["commands"][word]
        assert "--resume" in [option for one in command.params for option in one.opts]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/full/x.parquet"),
            "/full/x.parquet cannot be written: no space left on device. Make room there, or name another place to",
        ),
        (OSError(errno.EACCES, "Permission denied", "/theirs"), "/theirs cannot be read or written: permission denied"),
        (OSError(errno.ENOTDIR, "Not a directory", "/file/x"), "/file/x cannot be read or written: not a directory"),
        (OSError("[Errno 30] Error writing bytes to file"), "A file cannot be written: read-only file system"),
        (pl.exceptions.ComputeError("No space left on device (os error 28)"), "A file cannot be written: no space"),
        (pl.exceptions.PanicException("no such type"), "polars cannot go on: no such type. A file that it read"),
    ],
)
def test_what_a_file_system_or_polars_says_is_one_line(refused, monkeypatch, error, says):  # type: ignore[no-untyped-def]
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "build", lambda *_: fail)
    assert says in refused("recommend")


def test_verbs_that_start_alone_are_those_of_their_module() -> None:
    for module, verbs in cli.GROUPS.items():
        app = typer.Typer()
        app.callback()(lambda: None)
        import_module(f"pipelines.{module}").mount(app)
        assert set(typer.main.get_command(app).commands) == set(verbs)


HEAVY = {
    "torch",
    "mlflow",
    "matplotlib",
    "optuna",
    "pandas",
    "polars",
    "numpy",
    "scipy",
    "sqlalchemy",
    "pydantic",
    "fastapi",
}


def test_the_command_line_starts_without_what_only_some_verbs_need() -> None:
    """In one process, which is the cost of this test: the whole application, then the verb that looks at files."""
    script = """if True:
        import sys, typer
        from pipelines import cli
        typer.main.get_command(cli.build())
        print(*sys.modules)
        from pipelines.ingest.append import append
        print(*sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    built, ingesting = (set(line.split()) for line in done.stdout.splitlines())
    assert not HEAVY & built
    assert not {"torch", "mlflow", "scipy", "pandas"} & ingesting


def test_models_are_listed_and_settings_refused_without_torch() -> None:
    script = """if True:
        import sys
        from pipelines import cli
        from recsys_vae.errors import RecsysError
        cli.build("models")(["models"], standalone_mode=False)
        for refused in ("--set no_such=1", "--set dropout=2", "--model ease --epochs 3", "--set linear=mult-vae"):
            model = () if "--model" in refused else ("--model", "blend" if "linear" in refused else "mult-vae")
            try:
                cli.build("train")(["train", "none", "--to", "none", *model, *refused.split()], standalone_mode=False)
            except RecsysError as error:
                print(error)
        print(*sys.modules)
        import pipelines.evaluation.evaluate, pipelines.recommend
        assert "torch" not in sys.modules  # models that are trained by gradient bring it
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    *told, imported = done.stdout.splitlines()
    assert "conditional-vae" in done.stdout
    assert told[-4].startswith("There is no setting of mult-vae named 'no_such'")
    assert told[-3].startswith("Dropout is the share of entries")
    assert told[-2].startswith("ease is solved in closed form: epochs")
    assert told[-1].startswith("The linear part of a blend is solved in closed form")
    assert not {"torch", "numpy", "scipy", "polars", "mlflow"} & set(imported.split())
