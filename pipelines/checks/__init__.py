"""Checks of a dataset before anything is trained on it: against the last one that was accepted, by limits in a file."""

from pipelines.checks.check import check
from pipelines.checks.limits import Limits
from pipelines.checks.profile import Profile, accept, accepted
from pipelines.checks.report import CheckReport, Finding, Verdict

__all__ = ["CheckReport", "Finding", "Limits", "Profile", "Verdict", "accept", "accepted", "check"]
