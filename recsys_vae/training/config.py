"""TrainingConfig: how a model is trained, whatever the model."""

from dataclasses import dataclass, replace

from recsys_vae.errors import ConfigError
from recsys_vae.nn.schedules import rising

LIKELIHOODS = ("auto", "exact", "chunked", "sampled")


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the training loop.

    Attributes:
        epochs: passes over the users that are planned; schedules run on the fraction of them that is done.
        batch_size: users a step.
        learning_rate: of Adam.
        learning_rate_decay: fraction of the planned steps, the last ones, over which the learning rate falls to 0.
        weight_decay: decoupled, as in AdamW: share of each weight, times the learning rate, taken off a step.
        kl_weight: beta at the end of its rise.
        kl_anneal: fraction of the planned steps over which beta rises linearly from 0; with cycles, of each cycle.
        kl_cycles: how often beta rises from 0 (cyclical annealing); 1 rises once.
        free_bits: nats of KL that each latent dimension may use unpunished; 0 for none.
        likelihood: `exact`; `chunked`, which never holds all logits; `sampled`, over a sample of the items; or `auto`,
            which takes the first of them that fits the catalogue.
        negatives: items that the sampled likelihood draws a step.
        patience: epochs without a better validation value after which training stops; 0 never stops early.
        validation_metric: what decides which epoch is the best; higher is better.
        seed: fixes initialisation, order, dropout and sampling.
        device: `auto`, or a torch device such as `cpu`, `cuda:1`, `mps`.
        precision: `float32`, `bf16`, or `auto`: bf16 matrix products where the processor is fast at them.
        checkpoint_seconds: how much work a killed run may lose; checkpoints never take more than a tenth of the time.
    """

    epochs: int = 200
    batch_size: int = 500
    learning_rate: float = 1e-3
    learning_rate_decay: float = 0.0
    weight_decay: float = 0.0
    kl_weight: float = 0.2
    kl_anneal: float = 0.2
    kl_cycles: int = 1
    free_bits: float = 0.0
    likelihood: str = "auto"
    negatives: int = 4096
    patience: int = 20
    validation_metric: str = "ndcg@100"
    seed: int = 42
    device: str = "auto"
    precision: str = "auto"
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise ConfigError(f"epochs and batch_size are at least 1, got {self.epochs} and {self.batch_size}.")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate must be above 0, got {self.learning_rate}.")
        if not 0 <= self.learning_rate_decay <= 1 or self.weight_decay < 0:
            raise ConfigError(
                "learning_rate_decay is a fraction, 0 to 1, and weight_decay at least 0; got "
                f"{self.learning_rate_decay} and {self.weight_decay}."
            )
        if self.kl_weight < 0 or not 0 <= self.kl_anneal <= 1:
            raise ConfigError(
                f"kl_weight is at least 0 and kl_anneal a fraction, 0 to 1; got {self.kl_weight} and {self.kl_anneal}."
            )
        if self.patience < 0 or self.checkpoint_seconds < 0:
            raise ConfigError("patience and checkpoint_seconds are at least 0.")
        if self.kl_cycles < 1 or self.negatives < 1 or self.free_bits < 0:
            raise ConfigError(
                "kl_cycles and negatives are at least 1 and free_bits at least 0, got "
                f"{self.kl_cycles}, {self.negatives} and {self.free_bits}."
            )
        if self.likelihood not in LIKELIHOODS:
            raise ConfigError(f"likelihood is one of {', '.join(LIKELIHOODS)}; got {self.likelihood!r}.")
        if self.precision not in ("auto", "float32", "bf16"):
            raise ConfigError(f"precision is auto, float32 or bf16, got {self.precision!r}.")

    def kl_weight_at(self, progress: float) -> float:
        """Beta after a fraction of the planned steps."""
        return rising(progress, target=self.kl_weight, over=self.kl_anneal, cycles=self.kl_cycles)

    def as_published(self) -> "TrainingConfig":
        """The reference mode of Liang et al. 2018: beta rises over all planned steps, every epoch is run.

        200 epochs of batches of 500, Adam at 0.001 and beta up to 0.2 are the defaults already.
        """
        return replace(self, kl_anneal=1.0, patience=0)
