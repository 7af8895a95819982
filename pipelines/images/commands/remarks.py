"""What the verbs of `recsys images` say of files that were left out, or are not what their names say."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.images.inputs import Opened, Subject
    from pipelines.images.splits import ImageParts, Remark

NAMED = 5
"""Files that are named each; of more, only the number is told."""


def tell_remarks(images: "ImageParts | Subject") -> None:
    """Say on standard error which files were passed over, and which were read under a wrong name."""
    _tell("passed over", images.passed_over)
    _tell("read as what it is", images.misnamed)


def subject_of(opened: "Opened", data: str | None, part: str, files: list[Path] | None = None) -> "Subject":
    """The model before files, or before a part of a set of images; what there is to say of them is said."""
    subject = opened.before_files(files) if files else opened.before(data, part)
    tell_remarks(subject)
    return subject


def _tell(what: str, remarks: "Sequence[Remark]") -> None:
    for remark in remarks[:NAMED]:
        print(f"{what} {remark}", file=sys.stderr)
    if more := len(remarks[NAMED:]):
        print(f"{what} {more:,} more files", file=sys.stderr)
