"""Blending: the best model that is trained by gradient and the best in closed form, as one more candidate."""

from pipelines.selection.candidates import BLEND, Candidate
from pipelines.training.fit import ModelSpec
from pipelines.training.model_settings import OF_THE_DATA
from recsys_vae.models import catalog
from recsys_vae.models.cost import Cost


def can_blend(candidate: Candidate) -> bool:
    """Whether a blend can be made of it: a blend hands no metadata on."""
    return candidate.base.is_hybrid or not candidate.base.may_take_metadata


def blend_of(trained: Candidate, its_choice: int, solved: Candidate, other_choice: int) -> Candidate:
    """Two models with their settings, the weight left open."""
    settings: dict[str, object] = {"autoencoder": trained.name, "linear": solved.name}
    for part, one, choice in (("autoencoder", trained, its_choice), ("linear", solved, other_choice)):
        chosen = catalog.described(one.spec(choice).config)
        settings |= {f"{part}.{name}": value for name, value in chosen.items() if name not in OF_THE_DATA}
    base = ModelSpec(BLEND, catalog.configure(BLEND, settings), trained.spec(its_choice).training)
    known = [one.cost for one in (trained, solved) if one.cost]
    cost = Cost(sum(one.n_bytes for one in known), sum(one.operations for one in known))
    return Candidate(base, ({},), cost if len(known) == 2 else None)
