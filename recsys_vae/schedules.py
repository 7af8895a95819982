"""KL weight as a function of training progress.

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
