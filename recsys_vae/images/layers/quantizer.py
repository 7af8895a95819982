"""Vector quantization: each vector becomes the nearest of K code vectors, which follow what they stand for.

q(z) = e_k with k = argmin_j |z - e_j|^2. The gradient passes straight through: dL/dz = dL/dq. The commitment
|z - sg(e_k)|^2 keeps the encoder near its codes. Code vectors get no gradient but are moving averages of the vectors
that chose them: N_k <- g N_k + (1 - g) n_k and m_k <- g m_k + (1 - g) sum of those z, e_k = m_k / N_k, with the counts
smoothed so that none is 0. They start at the centres that k-means finds in the first batch; a code that has fallen out
of use is moved onto a vector of the batch.

Source: van den Oord et al., Neural Discrete Representation Learning (NeurIPS 2017), eq. 1 to 3 and appendix A.1;
k-means start and revival of dead codes: Zeghidour et al., SoundStream (2021), section III-C.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.errors import ConfigError

SMOOTHING = 1e-5
"""What Laplace smoothing adds to each code's count."""


@dataclass(frozen=True)
class Quantized:
    """A batch of vectors after quantization.

    Attributes:
        values: the code vectors, with the gradient of the input, shape (n, d, h, w).
        codes: their numbers, int64, shape (n, h, w).
        commitment: squared distance to the code vectors, summed over an image and averaged over the batch, a scalar.
    """

    values: Tensor
    codes: Tensor
    commitment: Tensor


class Quantizer(nn.Module):
    """A codebook of `size` vectors of `width` numbers, moved by exponential averages.

    Args:
        size: number of codes, K.
        width: dimensions of a code vector, d.
        decay: share of the past in the moving averages, 0 to 1.
        revive_below: a code is dead when its average count falls below this share of an equal share; 0 revives none.
        iterations: of k-means on the first batch to learn from.

    Attributes:
        codebook: code vectors, shape (size, width).
        counts: moving average of how many vectors of a batch chose each code, shape (size,).
        sums: moving average of the sum of those vectors, shape (size, width).
        usage: how many vectors chose each code since `begin_epoch`, int64, shape (size,).

    Raises:
        ConfigError: a number out of its range.
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor
    started: Tensor
    usage: Tensor

    def __init__(
        self, size: int, width: int, *, decay: float = 0.99, revive_below: float = 0.02, iterations: int = 10
    ) -> None:
        super().__init__()
        if size < 2 or width < 1 or not 0.0 <= decay < 1.0 or not 0.0 <= revive_below < 1.0:
            raise ConfigError(
                "A quantizer has at least 2 codes of at least 1 dimension, a decay and a revival threshold of at least "
                f"0 and below 1; got {size} codes of {width}, decay {decay}, threshold {revive_below}."
            )
        self.size, self.decay, self.revive_below, self.iterations = size, decay, revive_below, iterations
        self.register_buffer("codebook", torch.randn(size, width))
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", self.codebook.clone())
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("usage", torch.zeros(size, dtype=torch.int64))

    def forward(self, z: Tensor, *, learn: bool = False) -> Quantized:
        """Quantize a batch.

        Args:
            z: shape (n, width, h, w).
            learn: the codebook then moves towards the batch; before the first time it starts from it.
        """
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            vectors = z.detach().movedim(1, -1).flatten(0, 2)
            if learn and not self.started:
                self.start(vectors)
            codes = self.nearest(vectors)
            grid = codes.view(len(z), *z.shape[2:])
            chosen = self.vectors(grid)
            if learn:
                self.follow(vectors, codes)
            commitment = (z - chosen).square().sum() / len(z)
            return Quantized(z + (chosen - z).detach(), grid, commitment)

    def vectors(self, codes: Tensor) -> Tensor:
        """Code vectors, shape (n, width, h, w), of codes, shape (n, h, w)."""
        return functional.embedding(codes, self.codebook).movedim(-1, 1)

    def nearest(self, vectors: Tensor) -> Tensor:
        """The number of the nearest code of each vector, int64, shape (m,), of vectors, shape (m, width)."""
        return nearest(vectors, self.codebook)

    @torch.no_grad()
    def start(self, vectors: Tensor) -> None:
        """Put the codes at the centres of k-means over some vectors, shape (m, width), each with its count."""
        centres = vectors[_some(len(vectors), self.size, vectors.device)]
        for _ in range(self.iterations):
            counts, sums = _gathered(vectors, nearest(vectors, centres), self.size)
            centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1.0)[:, None], centres)
        self.counts.copy_(counts)
        self.sums.copy_(centres * counts[:, None])
        self._average()
        self.started.fill_(True)

    @torch.no_grad()
    def follow(self, vectors: Tensor, codes: Tensor) -> None:
        """Move the averages towards a batch's vectors, shape (m, width), and revive the codes that nothing chooses."""
        counts, sums = _gathered(vectors, codes, self.size)
        self.usage += counts.long()
        self.counts.lerp_(counts, 1.0 - self.decay)
        self.sums.lerp_(sums, 1.0 - self.decay)
        self._average()
        self._revive(vectors)

    def begin_epoch(self) -> None:
        """Count the use of codes from here on."""
        self.usage.zero_()

    def _average(self) -> None:
        total = self.counts.sum()
        smoothed = (self.counts + SMOOTHING) / (total + self.size * SMOOTHING) * total
        self.codebook.copy_(self.sums / smoothed[:, None])

    def _revive(self, vectors: Tensor) -> None:
        threshold = self.revive_below * len(vectors) / self.size
        dead = (self.counts < threshold).nonzero().flatten()[: len(vectors)]
        if not len(dead):
            return
        fresh = vectors[_some(len(vectors), len(dead), vectors.device)]
        self.codebook[dead] = fresh
        self.counts[dead] = threshold
        self.sums[dead] = fresh * threshold


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """The row of the codebook, shape (k, d), nearest to each vector, shape (m, d): int64, shape (m,)."""
    return torch.addmm(codebook.square().sum(dim=1), vectors, codebook.T, alpha=-2.0).argmin(dim=1)


def codebook_use(usage: Tensor) -> float:
    """Share of the codes that were chosen at least once, of counts by code, shape (k,)."""
    return (usage > 0).double().mean().item()


def perplexity(usage: Tensor) -> float:
    """exp of the entropy of the codes' shares: how many codes, equally used, would say as much.

    Args:
        usage: counts by code, shape (k,), not all 0.
    """
    shares = usage.double() / usage.sum()
    return math.exp(torch.special.entr(shares).sum().item())


def _gathered(vectors: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """How many vectors chose each code, shape (size,), and their sum, shape (size, width)."""
    counts = torch.bincount(codes, minlength=size).to(vectors.dtype)
    return counts, vectors.new_zeros(size, vectors.shape[1]).index_add_(0, codes, vectors)


def _some(of: int, n: int, device: torch.device) -> Tensor:
    """n row numbers below `of`, different where there are as many."""
    return torch.randperm(of, device=device)[:n] if of >= n else torch.randint(of, (n,), device=device)
