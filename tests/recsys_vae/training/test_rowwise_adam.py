import pytest
import torch
from torch import Tensor, nn

from recsys_vae.native import rowwise
from recsys_vae.nn.item_parts import ItemPart
from recsys_vae.training.rowwise_adam import RowwiseAdam, mix, random_bits, rounded

SHAPE = (8, 37)
"""Wide enough for whole vectors of the processor, and a rest."""
ALL = ItemPart(0, 1)


@pytest.fixture(params=["compiled", "torch"])
def moved_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are moved by compiled code where there is some, and by torch."""
    if request.param == "torch":
        monkeypatch.setattr(rowwise, "suits", lambda _: False)


def gradients(steps: int) -> list[Tensor]:
    """Each row is idle most of the time, the last one always."""
    draw = torch.Generator().manual_seed(0)
    found = []
    for _ in range(steps):
        touched = torch.rand(SHAPE[0], generator=draw) < 0.3
        touched[-1] = False
        found.append(torch.randn(SHAPE, generator=draw) * touched.unsqueeze(1))
    return found


def trained(
    steps: list[Tensor], dtype: torch.dtype = torch.bfloat16, part: ItemPart = ALL, seed: int = 0
) -> tuple[Tensor, RowwiseAdam]:
    whole = torch.linspace(-1, 1, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    table = nn.Parameter(part.of(whole).to(dtype).contiguous())
    optimizer = RowwiseAdam([table], 0.01, seed=seed, part=part)
    for gradient in steps:
        own = part.of(gradient)
        rows = own.any(dim=1).nonzero().squeeze(1)
        table.grad = torch.sparse_coo_tensor(rows.unsqueeze(0), own[rows], own.shape, check_invariants=False)
        optimizer.step()
        optimizer.catch_up()
    return table.detach(), optimizer


@pytest.mark.usefixtures("moved_by")
def test_rows_move_by_the_formula() -> None:
    steps = gradients(30)
    weight = torch.linspace(-1, 1, SHAPE[0] * SHAPE[1]).reshape(SHAPE).double()
    second = torch.zeros(SHAPE[0], dtype=torch.float64)
    for number, gradient in enumerate(steps, start=1):
        squares = gradient.double().square().mean(dim=1)
        second = 0.999 * second + 0.001 * squares
        weight -= 0.01 * gradient / ((second / (1 - 0.999**number)).sqrt() + 1e-8).unsqueeze(1)
    torch.testing.assert_close(trained(steps, torch.float32)[0], weight.float(), rtol=1e-5, atol=1e-6)
    # In bfloat16 every step is off by at most a place, and the errors do not add up.
    found = trained(steps)[0].float()
    assert (found - weight.float()).abs().max() < 0.05
    assert (found - weight.float()).mean().abs() < 0.002


@pytest.mark.usefixtures("moved_by")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_that_no_step_looks_at_stays(dtype: torch.dtype) -> None:
    found = trained(gradients(9), dtype)[0]
    assert torch.equal(found[-1], trained([], dtype)[0][-1])
    assert not torch.equal(found[0], trained([], dtype)[0][0])


@pytest.mark.usefixtures("moved_by")
@pytest.mark.parametrize("size", [2, 4])
def test_parts_of_a_table_move_as_the_whole_does(size: int) -> None:
    steps = gradients(20)
    whole = trained(steps)[0]
    for part in (ItemPart(rank, size) for rank in range(size)):
        assert torch.equal(trained(steps, part=part)[0], part.of(whole))


def test_compiled_and_plain_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = gradients(1)
    compiled = trained(steps)[0].float()
    monkeypatch.setattr(rowwise, "suits", lambda _: False)
    plain = trained(steps)[0].float()
    assert (compiled != plain).float().mean() < 0.01  # numbers on the edge, whose last bits differ
    torch.testing.assert_close(compiled, plain, rtol=2**-7, atol=0)


@pytest.mark.usefixtures("moved_by")
def test_the_seed_decides_the_rounding() -> None:
    steps = gradients(1)
    assert torch.equal(trained(steps)[0], trained(steps)[0])
    assert not torch.equal(trained(steps)[0], trained(steps, seed=1)[0])


@pytest.mark.usefixtures("moved_by")
def test_steps_of_less_than_a_place_are_not_lost() -> None:
    table = nn.Parameter(torch.ones(2, 4096, dtype=torch.bfloat16))
    optimizer = RowwiseAdam([table], 1e-3, seed=0, part=ALL)  # a place below 1 is 2^-8
    for _ in range(100):
        table.grad = torch.sparse_coo_tensor(
            torch.tensor([[1]]), torch.ones(1, 4096), table.shape, check_invariants=False
        )
        optimizer.step()
    mean, error = table[1].float().mean().item(), 4 * 2**-8 * 10 / 2 / 64
    assert mean == pytest.approx(1 - 100 * 1e-3, abs=error)
    assert table[1].float().std() > 2**-8
    assert (table[0] == 1).all()


def test_rounding_is_up_as_often_as_the_mean_asks() -> None:
    place = 2.0**-7
    for share in (0.25, 0.9):
        for start in (1.0, -1.0):
            number = torch.full((100, 1000), start * (1 + share * place))
            found = rounded(number, random_bits(torch.arange(100), 1000, (7, 0, 1))).float()
            up = (found.abs() - 1) / place
            assert set(up.unique().tolist()) == {0.0, 1.0}
            assert up.mean().item() == pytest.approx(share, abs=4 * (share * (1 - share) / up.numel()) ** 0.5)
    exact = torch.tensor([[0.0, 1.5, -3.0, float("inf"), float("nan")]])
    highest = torch.full((1, 5), 65535, dtype=torch.int32)
    assert torch.equal(rounded(exact, highest).float().nan_to_num(9), exact.nan_to_num(9))


def test_random_bits_are_even_and_none_of_two_rows_or_columns_go_together() -> None:
    bits = random_bits(torch.arange(256), 256, (mix(3), 0, 1)).double() / 65536 - 0.5
    error = 4 / 12**0.5 / bits.numel() ** 0.5
    assert abs(bits.mean().item()) < error
    for other in (bits.roll(1, 0), bits.roll(1, 1), bits.roll(4, 1), bits.T):
        assert abs((bits * other).mean().item()) < 5 / 12 / bits.numel() ** 0.5 + (other is bits.T) * 1 / 12 / 256


def test_the_generator_is_splitmix64() -> None:
    # The first numbers of Vigna's splitmix64.c from the state 1234567.
    golden = 0x9E3779B97F4A7C15
    assert [mix(1234567 + golden), mix(1234567 + 2 * golden)] == [6457827717110365317, 3203168211198807973]
