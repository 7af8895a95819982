"""What users of a split did before they are asked, and when: for repeat-purchase heads and second stages by recency."""

from dataclasses import dataclass, replace
from datetime import timedelta

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.purchases import first_days, read_purchases
from pipelines.dataset.recency import recency_in_window
from pipelines.dataset.splits import EPOCH, SplitManifest
from pipelines.evaluation.eligibility import check_repeats, window_start
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.signals import Repeat
from recsys_vae.evaluation.splits import HeldOut


def part_start(manifest: SplitManifest, part: str) -> int | None:
    """When a part of a split begins, in microseconds since 1970; None where nobody knows."""
    start = window_start(manifest, part)
    return None if start is None else (start - EPOCH) // timedelta(microseconds=1)


def with_recency(held_out: HeldOut, bundle: Bundle, dataset: DatasetDir, since: int | None) -> HeldOut:
    """Users with how long ago they were last there, each looked at from the first day that they come in a window.

    The same where the bundle does not go by it, or nobody knows when the window begins.

    Args:
        since: its first moment, in microseconds since 1970.
    """
    if since is None or bundle.ranker is None or not bundle.ranker.candidates.has_recency:
        return held_out
    return replace(held_out, recency=recency_in_window(dataset, held_out.users, since))


@dataclass(frozen=True)
class AskedPurchases:
    """Purchases before a window of time, each user seen from the first day that they come in it, as a request would be.

    Attributes:
        dataset: whose events they are.
        manifest: of the split.
        part: `validation` or `test`.
        repeat: whether lists may hold what was bought before.
    """

    dataset: DatasetDir
    manifest: SplitManifest
    part: str
    repeat: Repeat

    def of(self, held_out: HeldOut, bundle: Bundle) -> HeldOut:
        """The users with their purchases, over the bundle's items; without where they do not count, or nobody knows
        when the part begins.

        Raises:
            BundleError: the head may have learned from the window.
        """  # fmt: skip
        since = part_start(self.manifest, self.part)
        held_out = with_recency(held_out, bundle, self.dataset, since)
        if bundle.repeat is None or self.repeat == "exclude" or since is None:
            return held_out
        check_repeats(bundle, self.manifest, self.part)
        days = first_days(self.dataset, held_out.users, since)
        return replace(
            held_out, purchases=read_purchases(self.dataset, held_out.users, bundle.items, days, before=since)
        )
