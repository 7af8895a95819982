"""ImageTrainingConfig: how an image model is trained, whatever the model."""

from dataclasses import dataclass

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.images.data.pixels import GRAYSCALE, PIXELS, STATIC
from recsys_vae.images.layers.likelihood import BERNOULLI
from recsys_vae.nn.schedules import falling, linear, rising

AUTO = "auto"
MOST_SEEDS = 2**63
"""torch takes no larger seed, and NumPy none below 0."""


@dataclass(frozen=True)
class ImageTrainingConfig:
    """Settings of the training loop of the image models.

    Attributes:
        epochs: passes over the images that are planned; schedules run on the fraction of them that is done.
        batch_size: images a step.
        learning_rate: of Adam.
        learning_rate_rise: fraction of the planned steps, the first ones, over which the learning rate rises from 0.
        learning_rate_decay: fraction of the planned steps, the last ones, over which it falls to 0.
        weight_decay: decoupled, as in AdamW.
        gradient_clip: largest norm that the gradient of a step keeps; 0 leaves it as it is.
        kl_weight: weight of the regularizer at the end of its rise: beta.
        kl_anneal: fraction of the planned steps over which it rises linearly from 0; with cycles, of each cycle.
        kl_cycles: how often it rises from 0 (cyclical annealing); 1 rises once.
        pixels: `static`, `dynamic` or `grayscale` (see `images.pixels`); `auto` is static under a Bernoulli likelihood
            and grayscale under any other. `grayscale` under a Bernoulli likelihood says that this is meant.
        keep_best: whether the weights of the best epoch on validation are kept, or else those of the last one.
        patience: epochs without a lower validation loss after which training stops; 0 never stops early.
        seed: fixes order, pixels, dropout and sampling; initialisation is the caller's.
        device: `auto`, or a torch device such as `cpu`, `cuda:1`, `mps`.
        precision: `float32`, `bf16`, or `auto`: bf16 matrix products where the processor is fast at them.
        checkpoint_seconds: how much work a killed run may lose; checkpoints never take more than a tenth of the time.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3
    learning_rate_rise: float = 0.0
    learning_rate_decay: float = 0.0
    weight_decay: float = 0.0
    gradient_clip: float = 0.0
    kl_weight: float = 1.0
    kl_anneal: float = 0.0
    kl_cycles: int = 1
    pixels: str = AUTO
    keep_best: bool = True
    patience: int = 0
    seed: int = 0
    device: str = "auto"
    precision: str = "float32"
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.kl_cycles) < 1:
            raise ConfigError(
                f"epochs, batch_size and kl_cycles are at least 1, got {self.epochs}, {self.batch_size} and "
                f"{self.kl_cycles}."
            )
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate must be above 0, got {self.learning_rate}.")
        for name in ("learning_rate_rise", "learning_rate_decay", "kl_anneal"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a fraction, 0 to 1, got {getattr(self, name)}.")
        for name in ("weight_decay", "gradient_clip", "kl_weight", "patience", "checkpoint_seconds"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is at least 0, got {getattr(self, name)}.")
        if not 0 <= self.seed < MOST_SEEDS:
            raise ConfigError(f"seed is a whole number from 0 to {MOST_SEEDS - 1}, got {self.seed}.")
        if self.pixels not in (AUTO, *PIXELS):
            raise UnknownNameError("treatment of pixels", self.pixels, (AUTO, *PIXELS))
        if self.precision not in ("auto", "float32", "bf16"):
            raise ConfigError(f"precision is auto, float32 or bf16, got {self.precision!r}.")

    def kl_weight_at(self, progress: float) -> float:
        """Weight of the regularizer after a fraction of the planned steps."""
        return rising(progress, target=self.kl_weight, over=self.kl_anneal, cycles=self.kl_cycles)

    def learning_rate_at(self, progress: float) -> float:
        """Learning rate after a fraction of the planned steps."""
        rise = linear(progress, target=1.0, over=self.learning_rate_rise)
        return rise * falling(progress, start=self.learning_rate, over=self.learning_rate_decay)

    def pixels_for(self, likelihood: str | None) -> str:
        """The treatment of pixels that a model of this likelihood is trained with; None for one without any."""
        if self.pixels != AUTO:
            return self.pixels
        return STATIC if likelihood == BERNOULLI else GRAYSCALE
