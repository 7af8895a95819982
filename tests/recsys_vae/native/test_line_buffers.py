import numpy as np
import pytest

from recsys_vae.native import line_buffers
from recsys_vae.native.tables import DECIMALS, LEFT_OUT, TEXTS, WHOLE_NUMBERS, read_lines, tables

KINDS = [WHOLE_NUMBERS, DECIMALS, LEFT_OUT, TEXTS]


@pytest.mark.parametrize("lines", [["1,2.5,x,a", "-20,,y,", "3,0.5,,bc"], ["1,2,x,a"], ["1,2.5,x"], ["1,2.5,x,a,b"]])
def test_lines_in_a_buffer_are_read_as_those_in_bytes(lines: list[str]) -> None:
    library = tables()
    if library is None:
        pytest.skip("nothing is compiled here")
    data = "".join(f"{line}\n" for line in lines).encode()
    buffer = np.frombuffer(bytearray(data + b"of the block before\n"), np.uint8, len(data))
    assert line_buffers.count_lines(library, buffer) == len(lines)
    found = line_buffers.read_lines(library, buffer, ord(","), KINDS, len(lines))
    expected = read_lines(library, data, ord(","), KINDS, len(lines))
    if expected is None:
        assert found is None
        return
    assert found is not None
    for one, other in ((found.numbers, expected.numbers), (found.texts, expected.texts)):
        assert list(one) == list(other)
        for place, (values, others) in other.items():
            assert one[place][0].tolist() == values.tolist()
            assert (one[place][1] is None) == (others is None)
            assert others is None or np.array_equal(one[place][1], others)
