"""Models whose weights are about to be loaded: nothing is drawn for them first."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

RANDOM = frozenset({nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_})
"""Those of torch's initialisers that draw and ask such modes first; the others draw as ever."""


class Undrawn(TorchFunctionMode):
    """Within it modules are made with their constants, and with whatever memory holds where weights would be random.

    At 41,000 items of 600 dimensions drawing them takes as long as reading them.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """Leave a tensor as it is where `func` would draw it."""
        named = dict(kwargs or {})
        if func in RANDOM:
            tensor: torch.Tensor = args[0] if args else named["tensor"]
            return tensor
        return func(*args, **named)
