"""What users of a split have bought before they are asked, for bundles with a repeat-purchase head."""

from dataclasses import dataclass, replace
from datetime import timedelta

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.purchases import first_days, read_purchases
from pipelines.dataset.splits import EPOCH, SplitManifest
from pipelines.evaluation.eligibility import check_repeats, window_start
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.signals import Repeat
from recsys_vae.evaluation.splits import HeldOut


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
        start = window_start(self.manifest, self.part)
        if bundle.repeat is None or self.repeat == "exclude" or start is None:
            return held_out
        check_repeats(bundle, self.manifest, self.part)
        since = (start - EPOCH) // timedelta(microseconds=1)
        days = first_days(self.dataset, held_out.users, since)
        return replace(
            held_out, purchases=read_purchases(self.dataset, held_out.users, bundle.items, days, before=since)
        )
