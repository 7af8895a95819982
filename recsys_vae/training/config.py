"""TrainingConfig: how a model is trained, whatever the model."""

from dataclasses import dataclass, replace

from recsys_vae.errors import ConfigError
from recsys_vae.nn.schedules import rising
from recsys_vae.settings import setting

LIKELIHOODS = ("auto", "exact", "chunked", "sampled")
ADAM, ROWWISE_ADAM = "adam", "rowwise_adam"
FLOAT32, BFLOAT16 = "float32", "bfloat16"
MOST_ITEMS = 300_000
"""Items above which the likelihood `auto` samples."""
MACHINE, KL = "machine", "kl"
"""What some settings are about: where and how carefully a run takes place, and not what is learned; the KL."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the training loop; `recsys train` has an option for each, unless `option` is empty."""

    epochs: int = setting(200, "Planned passes over the users; schedules run on the fraction of them that is done.")
    batch_size: int = setting(500, "Users a step.")
    learning_rate: float = setting(1e-3, "Of Adam.")
    learning_rate_decay: float = setting(0.0, "Share of the planned steps, the last ones, over which it falls to 0.")
    weight_decay: float = setting(
        0.0, "Decoupled, as in AdamW: share of each weight, times the learning rate, taken off a step."
    )
    kl_weight: float = setting(0.2, "β at the end of its rise.", about=KL)
    kl_anneal: float = setting(
        0.2, "Share of the planned steps over which β rises linearly from 0; with cycles, of each.", about=KL, option=""
    )
    kl_cycles: int = setting(1, "How often β rises from 0 (cyclical annealing).", about=KL)
    free_bits: float = setting(0.0, "Nats of KL that each latent may use unpunished; 0: none.", about=KL)
    likelihood: str = setting(
        "auto",
        "exact; chunked, which never holds all logits; sampled, over a sample of the items; or auto, the first of them "
        "that fits the catalogue.",
    )
    negatives: int = setting(4096, "Items that the sampled likelihood draws a step.", option="")
    patience: int = setting(20, "Epochs without a better validation value before stopping; 0: never.")
    validation_metric: str = setting(
        "ndcg@100", "What is to be high on validation: it decides which epoch is the best.", option="metric"
    )
    leaves: int = setting(
        0,
        "Parts that every batch is cut into, a power of two, whose gradients are added up in a fixed order: as many "
        "workers, or fewer, then write the same bundle. 0: one a process, added up as they come.",
    )
    shard_items: bool = setting(
        False,
        "Share out the rows of item tables among the workers: each holds its part, and fetches the rows that a step "
        "looks at. Wants leaves and the sampled likelihood.",
    )
    table_optimizer: str = setting(
        ADAM,
        "Of item tables: adam, two moments a weight; rowwise_adam, one moment a row, which wants shard_items.",
        option="",
    )
    table_precision: str = setting(
        FLOAT32,
        "Of item tables: float32; bfloat16, half of it, rounded stochastically. Wants table_optimizer=rowwise_adam.",
        option="",
    )
    seed: int = setting(42, "Of initialisation, order, dropout and sampling.")
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps.", about=MACHINE)
    precision: str = setting(
        "auto", "float32, bf16, or auto: bf16 matrix products where the processor is fast at them.", about=MACHINE
    )
    checkpoint_seconds: float = setting(
        60.0,
        "How much work a killed run may lose; checkpoints never take more than a tenth of the time.",
        about=MACHINE,
    )

    def samples_items(self, n_items: int) -> bool:
        """Whether the likelihood of so many items is estimated from a sample of them."""
        return self.likelihood == "sampled" or (self.likelihood == "auto" and n_items > MOST_ITEMS)

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
        if self.leaves < 0 or self.leaves & (self.leaves - 1):
            raise ConfigError(f"leaves is 0 or a power of two, such as 4; got {self.leaves}.")
        if self.shard_items and not self.leaves:
            raise ConfigError("shard_items wants batches in leaves, such as leaves=4: at least as many as workers.")
        if self.shard_items and self.likelihood not in ("sampled", "auto"):
            raise ConfigError(
                f"shard_items shares out rows of item tables, and likelihood={self.likelihood} looks at all of them in "
                "every step. Train with likelihood=sampled, or leave shard_items out."
            )
        self._check_tables()
        if self.likelihood not in LIKELIHOODS:
            raise ConfigError(f"likelihood is one of {', '.join(LIKELIHOODS)}; got {self.likelihood!r}.")
        if self.precision not in ("auto", "float32", "bf16"):
            raise ConfigError(f"precision is auto, float32 or bf16, got {self.precision!r}.")

    def _check_tables(self) -> None:
        for name, allowed in (("table_optimizer", (ADAM, ROWWISE_ADAM)), ("table_precision", (FLOAT32, BFLOAT16))):
            if (value := getattr(self, name)) not in allowed:
                raise ConfigError(f"{name} is {' or '.join(allowed)}, got {value!r}.")
        if self.table_precision == BFLOAT16 and self.table_optimizer != ROWWISE_ADAM:
            raise ConfigError(
                "table_precision=bfloat16 wants table_optimizer=rowwise_adam: moments of adam would be four times the "
                "tables."
            )
        if self.table_optimizer != ROWWISE_ADAM:
            return
        if not self.shard_items:
            raise ConfigError(
                "table_optimizer=rowwise_adam wants shard_items, with which a step holds a few rows of the tables; one "
                "worker will do: shard_items=true leaves=1."
            )
        if self.weight_decay:
            raise ConfigError(
                "table_optimizer=rowwise_adam moves the rows that a step looks at and no other, and decays none. Leave "
                "weight_decay out."
            )

    def kl_weight_at(self, progress: float) -> float:
        """Beta after a fraction of the planned steps."""
        return rising(progress, target=self.kl_weight, over=self.kl_anneal, cycles=self.kl_cycles)

    def as_published(self) -> "TrainingConfig":
        """The reference mode of Liang et al. 2018: beta rises over all planned steps, every epoch is run.

        200 epochs of batches of 500, Adam at 0.001 and beta up to 0.2 are the defaults already.
        """
        return replace(self, kl_anneal=1.0, patience=0)
