"""The estimators: one class a model of the catalogue, which does all the work."""

from recsys_vae.estimators.estimator import Estimator


class Popularity(Estimator, model="popularity"):
    """What most users have interacted with; settings: those of `PopularityConfig`."""


class EASE(Estimator, model="ease"):
    """Linear autoencoder in closed form (Steck 2019); settings: those of `EASEConfig`."""


class EDLAE(Estimator, model="edlae"):
    """Denoising linear autoencoder in closed form (Steck 2020); settings: those of `EDLAEConfig`."""


class ELSA(Estimator, model="elsa"):
    """Linear autoencoder of thin factors, for any catalogue (Vancura et al. 2022); settings: those of `ELSAConfig`."""


class GraphFilter(Estimator, model="graph-filter"):
    """Low-pass filters on the items' graph (Shen et al. 2021); settings: those of `GraphFilterConfig`."""


class IALS(Estimator, model="ials"):
    """Matrix factorisation by confidence (Hu et al. 2008; Rendle et al. 2022); settings: those of `IALSConfig`."""


class MultDAE(Estimator, model="mult-dae"):
    """Denoising autoencoder, multinomial likelihood (Liang et al. 2018); settings: those of `MultDAEConfig`."""


class MultVAE(Estimator, model="mult-vae"):
    """Variational autoencoder, multinomial likelihood (Liang et al. 2018); settings: those of `MultVAEConfig`."""


class RecVAE(Estimator, model="rec-vae"):
    """Deep encoder tied to its past, linear decoder (Shenbin et al. 2020); settings: those of `RecVAEConfig`."""


class HVamp(Estimator, model="h-vamp"):
    """Two levels of codes, learned prior, gated layers (Kim & Suh 2019); settings: those of `HVampConfig`."""


class ConditionalVAE(Estimator, model="conditional-vae"):
    """Prior learned from metadata, combined with the history; settings: those of `ConditionalVAEConfig`."""


class SASRec(Estimator, model="sasrec"):
    """Causal transformer over the latest items (Kang & McAuley 2018); settings: those of `SASRecConfig`."""


class SVAE(Estimator, model="svae"):
    """Recurrent variational autoencoder of what comes next (Sachdeva et al. 2019); settings: those of `SVAEConfig`."""


class Blend(Estimator, model="blend"):
    """An autoencoder and a linear model, their scores added up; settings: those of `BlendConfig`."""
