from pathlib import Path

import pytest

from pipelines.training.fit import ModelSpec
from pipelines.training.model_settings import Settings, read_settings, settings_of, specify, write_settings
from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.models.mult_vae import MultVAEConfig
from recsys_vae.training.config import TrainingConfig


def test_names_lead_to_the_model_or_to_its_training() -> None:
    spec = specify("mult-vae", {"hidden": "32", "learning_rate": "0.01", "validation_metric": "recall@20"})
    assert spec.config == MultVAEConfig(hidden=32)
    assert spec.training == TrainingConfig(learning_rate=0.01, validation_metric="recall@20")


def test_what_is_not_named_stays_as_in_the_base() -> None:
    base = TrainingConfig().as_published()
    assert specify("mult-vae", {"epochs": 3}, base).training == TrainingConfig(epochs=3, kl_anneal=1.0, patience=0)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("mult-vea", {}, "mult-vae"),
        ("mult-vae", {"hiden": 3}, "hidden"),
        ("mult-vae", {"epoch": 3}, "epochs"),
        ("mult-vae", {"hidden": "wide"}, "whole number"),
        ("mult-vae", {"hidden": 600.7}, "whole number"),
        ("mult-vae", {"user_metadata": 0.3}, "true or false"),
        ("mult-vae", {"kl_weight": "nan"}, "finite number"),
        ("blend", {"autoencoder.hidden": 600.7}, "hidden of mult-vae is a whole number"),
        ("mult-vae", {"epochs": 0}, "at least 1"),
        ("mult-vae", {"validation_metric": "ndgc@100"}, "ndcg@k"),
        ("ease", {"epochs": 3}, "closed form: epochs has no effect"),
        ("mult-dae", {"kl_weight": 0.1}, "no KL: kl_weight has no effect"),
        ("ease", {"hidden": 3}, "Known: dislikes, input_weights, l2, "),
        ("popularity", {"l2": 3}, "none yet"),
    ],
)
def test_settings_that_mean_nothing_are_refused(model: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        specify(model, settings)


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    spec = specify("mult-vae", {"hidden": 32, "learning_rate": 1e-05, "kl_weight": 0.1 + 0.2})
    write_settings(tmp_path / "best.toml", settings_of(spec), "two\nlines")
    read = read_settings(tmp_path / "best.toml")
    assert specify(read.model, read.settings) == spec
    assert (tmp_path / "best.toml").read_text().startswith('# two\n# lines\nmodel = "mult-vae"\n')


def test_settings_of_closed_form_models_hold_no_training() -> None:
    usual = {"weights": "binary", "input_weights": "", "target_weights": "", "dislikes": 0.0}
    assert settings_of(specify("ease", {"l2": 3})) == Settings(model="ease", settings=usual | {"l2": 3.0})


def test_settings_of_a_model_without_a_kl_hold_none() -> None:
    kept = settings_of(specify("mult-dae", {})).settings
    assert "learning_rate" in kept
    assert "kl_weight" not in kept


def test_settings_of_the_machine_are_not_kept() -> None:
    kept = settings_of(specify("mult-vae", {"device": "cpu", "precision": "float32"})).settings
    assert kept.keys().isdisjoint({"device", "precision", "checkpoint_seconds"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = ", "not TOML"),
        ("[settings]\nhidden = 3\n", "model: Field required"),
        ('model = "ease"\nl2 = 3.0\n', "l2: Extra inputs"),
        ('model = "ease"\n[settings]\nl2 = [1, 2]\n', "settings.l2"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "best.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path / "best.toml")


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_settings(tmp_path / "best.toml")


def test_true_and_false_are_read_as_such() -> None:
    from dataclasses import dataclass

    from recsys_vae.models.catalog import with_settings

    @dataclass(frozen=True)
    class Gated:
        gated: bool = True

    assert with_settings(Gated(), {"gated": "false"}, of="gated") == Gated(gated=False)
    assert with_settings(Gated(False), {"gated": "True"}, of="gated") == Gated()
    with pytest.raises(ConfigError, match="gated"):
        with_settings(Gated(), {"gated": "perhaps"}, of="gated")
    with pytest.raises(UnknownNameError):
        with_settings(Gated(), {"gate": "true"}, of="gated")


def test_a_model_whose_setting_is_named_like_one_of_the_training_is_refused() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Rounds:
        epochs: int = 3

    with pytest.raises(ConfigError, match="named epochs"):
        ModelSpec("rounds", Rounds())
