"""KL weight and learning rate as functions of training progress.

Schedules run on progress, the fraction of the planned steps that is done, never on a count of steps: a count that suits
a large data set leaves the weight near zero on a small one.
"""


def linear(progress: float, *, target: float, over: float = 1.0) -> float:
    """Rise linearly from 0 to `target` while progress goes from 0 to `over`, then stay (Liang et al. 2018, 2.2.2).

    Args:
        progress: fraction of the planned steps that is done, 0 to 1.
        target: final weight, the paper's beta.
        over: fraction of the training that the rise takes; 0 means the target from the first step.
    """
    return target * min(1.0, progress / over) if over > 0 else target


def cyclical(progress: float, *, target: float, cycles: int = 4, over: float = 0.5) -> float:
    """Rise linearly from 0 to `target` in the first part of each of several equal cycles, and stay for the rest of it.

    Each return to 0 lets latents that have collapsed carry information again (Fu et al., Cyclical Annealing Schedule: A
    Simple Approach to Mitigating KL Vanishing, NAACL 2019, eq. 5).

    Args:
        progress: fraction of the planned steps that is done, 0 to 1.
        target: weight at the end of each rise.
        cycles: number of rises.
        over: fraction of a cycle that its rise takes; 0 means the target throughout.
    """
    if progress >= 1.0:
        return target
    return linear(progress * cycles % 1.0, target=target, over=over)


def rising(progress: float, *, target: float, over: float, cycles: int = 1) -> float:
    """`linear` where there is one cycle, else `cyclical`: the schedule that settings of a training choose."""
    if cycles > 1:
        return cyclical(progress, target=target, cycles=cycles, over=over)
    return linear(progress, target=target, over=over)


def falling(progress: float, *, start: float, over: float) -> float:
    """Stay at `start`, then fall linearly to 0 over the last part of the training.

    Args:
        progress: fraction of the planned steps that is done, 0 to 1.
        start: value before the fall.
        over: fraction of the training that the fall takes; 0 never falls.
    """
    return start * min(1.0, (1.0 - progress) / over) if over > 0 else start
