"""Settings of the weekly job: one TOML file, a table a step, checked whole before anything begins.

Tables named after a verb (`ingest`, `check`, `train`, `promote`, `publish`, `recommend`, `clean`; `ranker` for
`learn-ranker`) hold options of that verb, as its `--help` lists them, with underscores: `min_user = 5` is
`--min-user 5`, a list repeats an option, true sets a flag.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recsys_vae.errors import ConfigError, fault_text
from recsys_vae.tracking_store import check_model_name

Option = bool | int | float | str | list[str] | list[int] | list[float]
Options = dict[str, Option]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Collect(_Table):
    """Where events come from.

    Attributes:
        logs: files, folders of parts and globs; those that were taken before are passed over.
        store: whether the service's event store is read, too; which one, RECSYS_STORE says.
    """

    logs: tuple[str, ...] = ()
    store: bool = False

    @model_validator(mode="after")
    def _something(self) -> "Collect":
        if not self.logs and not self.store:
            raise ValueError("name logs, or store = true, or both: there is nothing to collect otherwise")
        return self


class Windows(_Table):
    """How the newest events are held out, in days up to the newest one.

    Attributes:
        test: what challenger and champion are compared on.
        validation: before that, what the training chooses on.
    """

    test: float = Field(default=7.0, gt=0)
    validation: float = Field(default=7.0, gt=0)


class FullTraining(_Table):
    """When a model is trained from scratch; in between, the champion is updated.

    Attributes:
        after_updates: updates in a row; 0 trains from scratch every time.
        after_days: days since the last full training.
        new_items: share of the catalogue that has come since.
    """

    after_updates: int = Field(default=3, ge=0)
    after_days: float = Field(default=28.0, gt=0)
    new_items: float = Field(default=0.1, ge=0, le=1)


class Services(_Table):
    """The services that take over what was promoted; those that follow the alias need not be named.

    Attributes:
        urls: addresses, as http://10.0.0.7:8000.
        key_variable: of the environment, which holds a key with the scope `admin`; no key where it is not set.
        wait: seconds until all replicas must follow.
    """

    urls: tuple[str, ...] = ()
    key_variable: str = "RECSYS_ADMIN_KEY"
    wait: float = Field(default=60.0, ge=0)


class RetrainConfig(_Table):
    """What the file holds.

    Attributes:
        name: of the dataset, of the registered model, and of the job itself.
        repeats: whether models have a repeat-purchase head; None: as the champion.
        ranker: options of `learn-ranker`, by which models get a second stage; false: they get none; None: as the
            champion, with the models that its second stage has.
        recommend: options of the lists for all users; none are written where it is missing.
        clean: limits of what is kept; nothing is removed where it is missing.
    """

    name: str
    collect: Collect
    ingest: Options = Field(default_factory=dict)
    check: Options = Field(default_factory=dict)
    split: Windows = Windows()
    train: Options = Field(default_factory=dict)
    full: FullTraining = FullTraining()
    repeats: bool | None = None
    ranker: Options | Literal[False] | None = None
    promote: Options = Field(default_factory=dict)
    publish: Options = Field(default_factory=dict)
    recommend: Options | None = None
    services: Services = Services()
    clean: Options | None = None


def read_config(path: Path) -> RetrainConfig:
    """Read the file.

    Raises:
        ConfigError: it is not there, is no TOML, or a table or value in it is not known; the message names it.
    """
    try:
        config = RetrainConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML file: {error}.") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {'; '.join(_faults(error))}.") from error
    check_model_name(config.name)
    return config


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"] if part not in _KINDS)
        if fault["type"] == "extra_forbidden":
            yield f"{place} is not known"
        else:
            yield f"{place}: {fault_text(fault)}" if place else fault_text(fault)


_KINDS = {"bool", "int", "float", "str", "list[str]", "list[int]", "list[float]"}


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """Options as they stand on a command line: `{"min_user": 5, "returns": True}` is `--min-user 5 --returns`."""
    found = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            found += [option] if value else []
        else:
            found += [part for one in (value if isinstance(value, list) else [value]) for part in (option, str(one))]
    return found
