"""Settings by name, as the command line, a settings file and a search give them.

A settings file is TOML:

    model = "mult-vae"

    [settings]
    hidden = 600
    learning_rate = 0.0013

Its names are those of `--set`: fields of the model's configuration, and of `TrainingConfig` for what is trained by
gradient. No model may have a setting of the same name as one of the training. A setting of a part of a model is named
PART.SETTING; TOML wants quotes around it.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from recsys_vae.errors import ConfigError, UnknownNameError, fault_text
from recsys_vae.models import catalog
from recsys_vae.settings import settings_about
from recsys_vae.training.config import KL, MACHINE, TrainingConfig
from recsys_vae.training.spec import ModelSpec, default_training

OF_THE_MACHINE = settings_about(TrainingConfig, MACHINE)
"""Training settings that say where and how carefully a run takes place, not what is learned."""
OF_THE_DATA = frozenset({"metadata"})
"""Settings of a model that the fields of a dataset decide, and nobody else."""
OF_THE_KL = settings_about(TrainingConfig, KL)
"""Training settings that mean something for variational models only."""


class Settings(BaseModel):
    """What a settings file holds.

    Attributes:
        model: name in the catalogue.
        settings: values by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str
    settings: dict[str, bool | int | float | str] = {}


def specify(model: str, settings: Mapping[str, Any], base: TrainingConfig | None = None) -> ModelSpec:
    """The model and training that settings by name ask for; what they do not name is as in `base`, or the default.

    Raises:
        UnknownNameError: no such model, metric or setting.
        ConfigError: a value out of its range, or a setting that has no effect on this model or is not for the user.
    """
    for name in OF_THE_DATA & settings.keys():
        raise ConfigError(f"{name} follows from the fields that a dataset declares: leave it out.")
    own = {field.name for field in fields(catalog.entry(model).config)}
    config = catalog.configure(model, {name: value for name, value in settings.items() if "." in name or name in own})
    spec = ModelSpec(model, config, base or default_training(model))
    rest = {name: value for name, value in settings.items() if "." not in name and name not in own}
    _check_names(spec, rest)
    training = catalog.with_settings(spec.training, rest, of="training")
    from recsys_vae.evaluation.metrics import parse_metric

    parse_metric(training.validation_metric)
    return replace(spec, training=training)


def settings_of(spec: ModelSpec) -> Settings:
    """All settings that decide what is learned, by name."""
    learned = _training_names(spec) - OF_THE_MACHINE
    training = {name: value for name, value in asdict(spec.training).items() if name in learned}
    own = {name: value for name, value in catalog.described(spec.config).items() if ending(name) not in OF_THE_DATA}
    return Settings(model=spec.name, settings=own | training)


def read_settings(path: Path) -> Settings:
    """Read a settings file.

    Raises:
        ConfigError: it is not there, no TOML, or holds something else.
    """
    try:
        return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"Settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"Settings file {path} is not TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"][:2]))
        raise ConfigError(
            f"Settings file {path}: {place}: {fault_text(first)}. Expected model = NAME and a table [settings] of "
            "values."
        ) from error


def write_settings(path: Path, settings: Settings, comment: str) -> None:
    """Write a settings file, its first lines a comment."""
    from recsys_vae.atomic import write_atomically

    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"model = {_toml(settings.model)}", "", "[settings]"]
    lines += [f"{_toml(name) if '.' in name else name} = {_toml(value)}" for name, value in settings.settings.items()]
    write_atomically(path, "\n".join(lines) + "\n")


def _training_names(spec: ModelSpec) -> set[str]:
    """Names of the training settings that have an effect on a model."""
    if not spec.is_trained_by_gradient:
        return set()
    names = {field.name for field in fields(TrainingConfig)}
    return names if spec.is_variational else names - OF_THE_KL


def _check_names(spec: ModelSpec, names: Mapping[str, Any]) -> None:
    known = catalog.described(spec.config).keys() | _training_names(spec)
    why = "has no KL" if spec.is_trained_by_gradient else "is solved in closed form"
    for name in names:
        if name in known:
            continue
        if name in {field.name for field in fields(TrainingConfig)}:
            raise ConfigError(f"{spec.name} {why}: {name} has no effect on it. Leave it out.")
        raise UnknownNameError(f"setting of {spec.name}", name, known)


def ending(name: str) -> str:
    """Of `PART.SETTING`, the setting."""
    return name.rpartition(".")[2]


def _toml(value: bool | float | str) -> str:
    """A value as TOML and JSON both write it; `repr` of a float reads back exactly."""
    return json.dumps(value, ensure_ascii=False)
