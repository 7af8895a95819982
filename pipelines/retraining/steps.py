"""The steps of the weekly job, in order."""

from typing import Final

from pipelines.retraining.collect import Collect
from pipelines.retraining.data_steps import Check, Ingest, Split
from pipelines.retraining.delivery_steps import Clean, CleanEvents, Recommend, TellServices
from pipelines.retraining.erasure_steps import Erase, FindErased
from pipelines.retraining.model_steps import Evaluate, Gate, Promote, Publish, Train
from pipelines.retraining.run import Step
from pipelines.retraining.signal_steps import LearnRanker, LearnRepeats

STEPS: Final[tuple[Step, ...]] = (
    Collect(),
    Ingest(),
    FindErased(),
    Erase(),
    Check(),
    Split(),
    Train(),
    LearnRepeats(),
    LearnRanker(),
    Evaluate(),
    Gate(),
    Publish(),
    Promote(),
    Recommend(),
    TellServices(),
    Clean(),
    CleanEvents(),
)
