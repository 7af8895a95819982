import math

import pytest
import torch
from vector_quantize_pytorch import VectorQuantize

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.quantizer import Quantizer, codebook_use, perplexity

SIZE, WIDTH = 16, 4


def batches(steps: int) -> list[torch.Tensor]:
    """Vectors that drift, shape (8, WIDTH, 3, 3) each, so that codes fall out of use."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(8, WIDTH, 3, 3, generator=generator) * 0.7 + 0.4 * step for step in range(steps)]


@pytest.mark.parametrize("threshold", [0.0, 0.2], ids=["without revival", "with revival"])
def test_equals_vector_quantize_pytorch_step_for_step(threshold: float) -> None:
    """k-means start, codes, values, moving codebook, revived codes and commitment, from the same random numbers."""
    ours = Quantizer(SIZE, WIDTH, decay=0.8, revive_below=threshold)
    theirs = VectorQuantize(
        WIDTH,
        SIZE,
        decay=0.8,
        kmeans_init=True,
        accept_image_fmap=True,
        rotation_trick=False,
        threshold_ema_dead_code=threshold * 8 * 9 / SIZE,  # in vectors, not in equal shares
    )
    revived = 0
    for step, z in enumerate(batches(12)):
        torch.manual_seed(step)
        found = ours(z, learn=True)
        torch.manual_seed(step)
        values, codes, commitment = theirs(z)
        assert torch.equal(found.codes, codes)
        torch.testing.assert_close(found.values, values)
        torch.testing.assert_close(found.commitment / z[0].numel(), commitment)  # summed here, averaged there
        torch.testing.assert_close(ours.codebook, theirs.codebook)
        torch.testing.assert_close(ours.counts, theirs._codebook.cluster_size[0])
        revived += int((ours.counts == torch.tensor(threshold * 8 * 9 / SIZE)).sum())
    assert (revived > 0) == (threshold > 0)


def test_equals_vector_quantize_pytorch_where_it_does_not_learn() -> None:
    ours, theirs = Quantizer(SIZE, WIDTH), VectorQuantize(WIDTH, SIZE, accept_image_fmap=True).eval()
    theirs.codebook = ours.codebook
    z = batches(1)[0]
    values, codes, _ = theirs(z)
    found, before = ours(z), ours.codebook.clone()
    assert torch.equal(found.codes, codes)
    torch.testing.assert_close(found.values, values)
    assert torch.equal(ours.codebook, before)


def test_the_gradient_passes_straight_through() -> None:
    z = batches(1)[0].requires_grad_()
    upstream = torch.randn_like(z)
    (Quantizer(SIZE, WIDTH)(z, learn=True).values * upstream).sum().backward()
    assert torch.equal(z.grad, upstream)


def test_commitment_pulls_a_vector_to_its_code() -> None:
    z = batches(1)[0].requires_grad_()
    found = Quantizer(SIZE, WIDTH)(z)
    found.commitment.backward()
    torch.testing.assert_close(z.grad, 2 * (z - found.values).detach() / len(z))


def test_a_code_that_nothing_chooses_is_moved_onto_a_vector_of_the_batch() -> None:
    quantizer = Quantizer(2, 1, revive_below=0.1)
    quantizer.codebook.copy_(torch.tensor([[0.0], [100.0]]))
    quantizer.counts.copy_(torch.tensor([4.0, 0.1]))  # the second is below a tenth of an equal share of 4 vectors
    quantizer.sums.copy_(quantizer.codebook * quantizer.counts[:, None])
    quantizer.started.fill_(True)
    z = torch.tensor([-1.0, -0.5, 0.5, 1.0]).view(1, 1, 2, 2)
    assert quantizer(z, learn=True).codes.unique().tolist() == [0]
    assert quantizer.codebook[1] in z
    assert quantizer(z).codes.unique().tolist() == [0, 1]


def test_use_and_perplexity_of_an_epoch() -> None:
    quantizer = Quantizer(4, 1, revive_below=0.0)
    quantizer.codebook.copy_(torch.tensor([[0.0], [1.0], [2.0], [3.0]]))
    quantizer.sums.copy_(quantizer.codebook)
    quantizer.started.fill_(True)
    quantizer.begin_epoch()
    for _ in range(2):
        quantizer(torch.tensor([0.0, 0.0, 1.0, 3.0]).view(1, 1, 2, 2), learn=True)
    assert quantizer.usage.tolist() == [4, 2, 0, 2]
    assert codebook_use(quantizer.usage) == 0.75
    assert perplexity(quantizer.usage) == pytest.approx(math.exp(1.5 * math.log(2.0)))
    quantizer.begin_epoch()
    assert quantizer.usage.sum() == 0


def test_a_codebook_of_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 codes"):
        Quantizer(1, 4)
