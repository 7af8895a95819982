"""The one list of models: name -> configuration and class.

Configurations are at hand, a class is imported when it is first needed: models can be listed, and settings checked,
without torch. `CATALOG` holds the models of this package; other distributions add theirs by entry point (`plugins`).
Whoever looks a model up finds both.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from recsys_vae.errors import ConfigError, PluginError, UnknownNameError
from recsys_vae.models import plugins
from recsys_vae.models.configs.blend import BlendConfig, Part, Parts, parts_of
from recsys_vae.models.configs.conditional_vae import ConditionalVAEConfig
from recsys_vae.models.configs.ease import EASEConfig
from recsys_vae.models.configs.edlae import EDLAEConfig
from recsys_vae.models.configs.elsa import ELSAConfig
from recsys_vae.models.configs.graph_filter import GraphFilterConfig
from recsys_vae.models.configs.h_vamp import HVampConfig
from recsys_vae.models.configs.ials import IALSConfig
from recsys_vae.models.configs.mult_dae import MultDAEConfig
from recsys_vae.models.configs.mult_vae import MultVAEConfig
from recsys_vae.models.configs.popularity import PopularityConfig
from recsys_vae.models.configs.rec_vae import RecVAEConfig
from recsys_vae.models.configs.sasrec import SASRecConfig
from recsys_vae.models.configs.svae import SVAEConfig
from recsys_vae.models.entry import Entry
from recsys_vae.models.search_space import SearchSpace
from recsys_vae.settings import Config, converted

if TYPE_CHECKING:
    from recsys_vae.protocols import Recommender


def _own(config: type, model: str, summary: str) -> Entry:
    """The entry of a model of this package, "FILE:CLASS"."""
    return Entry(config, f"{__package__}.{model}", summary)


OF_A_PART = ("share", "epochs")
"""Settings of one of several parts that are no model's."""
CATALOG: dict[str, Entry] = {
    "popularity": _own(PopularityConfig, "popularity:Popularity", "what most users have interacted with"),
    "ease": _own(EASEConfig, "ease:EASE", "linear autoencoder in closed form (Steck 2019)"),
    "edlae": _own(EDLAEConfig, "edlae:EDLAE", "denoising linear autoencoder in closed form (Steck 2020)"),
    "elsa": _own(
        ELSAConfig, "elsa:ELSA", "linear autoencoder of thin factors, for any catalogue (Vancura et al. 2022)"
    ),
    "graph-filter": _own(
        GraphFilterConfig, "graph_filter:GraphFilter", "low-pass filters on the items' graph (Shen et al. 2021)"
    ),
    "ials": _own(
        IALSConfig, "ials:IALS", "matrix factorisation by confidence, exact (Hu et al. 2008; Rendle et al. 2022)"
    ),
    "mult-dae": _own(
        MultDAEConfig, "mult_dae:MultDAE", "denoising autoencoder, multinomial likelihood (Liang et al. 2018)"
    ),
    "mult-vae": _own(
        MultVAEConfig, "mult_vae:MultVAE", "variational autoencoder, multinomial likelihood (Liang et al. 2018)"
    ),
    "rec-vae": _own(
        RecVAEConfig, "rec_vae:RecVAE", "deep encoder tied to its past, linear decoder (Shenbin et al. 2020)"
    ),
    "h-vamp": _own(HVampConfig, "h_vamp:HVamp", "two levels of codes, learned prior, gated layers (Kim & Suh 2019)"),
    "conditional-vae": _own(
        ConditionalVAEConfig, "conditional_vae:ConditionalVAE", "prior learned from metadata, combined with the history"
    ),
    "sasrec": _own(SASRecConfig, "sasrec:SASRec", "causal transformer over the latest items (Kang & McAuley 2018)"),
    "svae": _own(SVAEConfig, "svae:SVAE", "recurrent VAE of what comes next (Sachdeva et al. 2019)"),
    "blend": _own(BlendConfig, "blend:Blend", "an autoencoder, a linear model and further ones, their scores added up"),
}


def names() -> list[str]:
    """Names of all models: those of this package, then those of plug-ins."""
    return [*CATALOG, *(name for name in plugins.found() if name not in CATALOG)]


def entry(name: str) -> Entry:
    """The entry of a name.

    Raises:
        UnknownNameError: there is no such model; the message lists those that exist.
        PluginError: it is the model of a plug-in that is broken, or two distributions have a model of that name.
    """
    if name in CATALOG:
        plugins.check_free(name)
        return CATALOG[name]
    if name in plugins.found():
        return plugins.load(name)
    raise UnknownNameError("model", name, names())


def origin(name: str) -> str:
    """Where a model comes from: name and version of a plug-in's distribution, or recsys-vae."""
    return "recsys-vae" if name in CATALOG else " and ".join(map(plugins.origin, plugins.found()[name]))


def distributions(name: str, config: Any) -> dict[str, str]:
    """Versions, by name, of the distributions whose plug-ins a model and its parts are."""
    points = () if name in CATALOG else plugins.found().get(name, ())
    versions = dict(map(plugins.distribution, points))
    for part in parts_of(config):
        versions |= distributions(part.model, part.config)
    return versions


def configure(name: str, settings: Mapping[str, Any]) -> Any:
    """The configuration of a model from settings by name, as the command line or a manifest gives them.

    Raises:
        UnknownNameError: no such model, or a setting that it does not have.
        ConfigError: a value of the wrong type or out of its range.
    """
    return with_settings(entry(name).config(), settings, of=name)


def with_settings(config: Config, settings: Mapping[str, Any], *, of: str) -> Config:
    """A copy of a frozen configuration with some settings changed, each converted to the type of the value it had.

    A part is set by the name of its model, with that model's defaults; `PART.SETTING` is a setting of the part. Several
    parts are set by their names with commas between them; `PARTS.1.SETTING` is a setting of the first, and its `share`
    and `epochs` are the part's own.

    Args:
        of: whose settings they are, for messages.

    Raises:
        UnknownNameError: it has no such setting.
        ConfigError: a value of the wrong type or out of its range.
    """
    plain = {key: value for key, value in settings.items() if "." not in key}
    present = {field.name: getattr(config, field.name) for field in fields(config)}
    if unknown := plain.keys() - present.keys():
        raise UnknownNameError(f"setting of {of}", min(unknown), described(config))
    changed = {key: _part_or_value(present[key], value, f"{key} of {of}") for key, value in plain.items()}
    for name, inner in _by_part(settings).items():
        part = changed.get(name, present.get(name))
        if isinstance(part, Parts):
            changed[name] = _with_settings_of_each(part, inner, name, of)
            continue
        if not isinstance(part, Part):
            raise UnknownNameError(f"setting of {of}", f"{name}.{min(inner)}", described(config))
        changed[name] = replace(part, config=with_settings(part.config, inner, of=part.model))
    return replace(config, **changed)


def described(config: Any) -> dict[str, Any]:
    """A configuration as plain values by name, from which `configure` makes it again."""
    found: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Part):
            inner = described(value.config)
            found |= {field.name: value.model} | {f"{field.name}.{name}": inner[name] for name in inner}
        elif isinstance(value, Parts):
            found |= _described_parts(field.name, value)
        else:
            found[field.name] = value
    return found


def _described_parts(name: str, parts: Parts) -> dict[str, Any]:
    """Several parts, so that each can be set again; nothing where there are none."""
    found: dict[str, Any] = {name: ",".join(part.model for part in parts)} if parts else {}
    for number, part in enumerate(parts, start=1):
        own = {"share": part.share} | ({"epochs": part.epochs} if part.epochs else {}) | described(part.config)
        found |= {f"{name}.{number}.{key}": value for key, value in own.items()}
    return found


def _with_settings_of_each(parts: Parts, settings: Mapping[str, Any], name: str, of: str) -> Parts:
    """Several parts with settings `NUMBER.SETTING`."""
    found = list(parts)
    for number, inner in _by_part(settings).items():
        if number not in map(str, range(1, 1 + len(parts))):
            known = [f"{name}.{one}" for one in range(1, 1 + len(parts))]
            raise UnknownNameError(f"part of {of}", f"{name}.{number}", known)
        part = found[int(number) - 1]
        own = {key: converted(getattr(part, key), inner.pop(key), f"{key} of {name}.{number}")
               for key in OF_A_PART if key in inner}  # fmt: skip
        found[int(number) - 1] = replace(part, config=with_settings(part.config, inner, of=part.model), **own)
    if loose := [key for key in settings if "." not in key]:
        raise UnknownNameError(f"setting of {of}", f"{name}.{loose[0]}", [f"{name}.1.SETTING"])
    return Parts(found)


def _by_part(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings `PART.SETTING` by part."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        part, dot, name = key.partition(".")
        if dot:
            found.setdefault(part, {})[name] = value
    return found


def _part_or_value(present: Any, value: Any, what: str) -> Any:
    """A value of the type of the present one; of a part, the name of its model; of several, their names."""
    if isinstance(present, Parts):
        if not isinstance(value, str | list | tuple):
            raise ConfigError(f"Setting {what} is names of models with commas between them, got {value!r}.")
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        wanted = [(name, entry(name)) for name in names if name]
        if [name for name, _ in wanted] == [part.model for part in present]:
            return present
        return Parts(Part(name, found.place, found.config()) for name, found in wanted)
    if isinstance(present, Part):
        if value == present.model:
            return present
        found = entry(value)
        return Part(value, found.place, found.config())
    return converted(present, value, what)


def search_space(name: str) -> SearchSpace:
    """What is worth tuning of a model; nothing where its configuration does not say."""
    space: SearchSpace = getattr(entry(name).config, "SEARCH_SPACE", {})
    return space


def create(name: str, n_items: int, config: Any = None) -> "Recommender":
    """A model with fresh weights; the default configuration where none is given."""
    found = entry(name)
    model: Recommender = found.model(n_items, config if config is not None else found.config())
    return model


def name_of(model: "Recommender") -> str:
    """The name under which the class of a model stands in the catalogue."""
    for name in names():
        found = _usable(name)
        if found is not None and found.is_of(model):
            return name
    raise UnknownNameError("model class", type(model).__name__, (found.model.__name__ for found in CATALOG.values()))


def _usable(name: str) -> Entry | None:
    """The entry of a model; None of a plug-in that is broken: it has no model to show."""
    if name in CATALOG:
        return CATALOG[name]
    try:
        return plugins.load(name)
    except PluginError:
        return None


def settings_of(model: "Recommender") -> dict[str, Any]:
    """The configuration of a model as plain values, for manifests and trackers."""
    return described(model.config)  # type: ignore[attr-defined]
