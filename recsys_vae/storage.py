"""Storage that fails: a full disk, a read-only folder, a quota. Whatever library meets it, it is one error that names
what was to be written, and not what was being read at the time.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from recsys_vae.errors import RecsysError, StorageError

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
FAILING: Final = (*FULL, *FORBIDDEN, errno.EIO)
"""Only writing meets those of FULL; the others tell of an input as well, so that the name of the file decides."""
MISPLACED: Final = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""They say what is wrong with a path."""
CODE: Final = re.compile(r"(?:os error|Errno|errno:?) (\d+)")
"""How Rust's libraries, Python's and Arrow tell the system's code in a text."""
WORDS: Final = {os.strerror(code): code for code in FULL} | {"database or disk is full": errno.ENOSPC}
"""What the system and SQLite say, where a library keeps the words and not the code."""
SHOWN: Final = 300
"""Characters of a path that are shown at most, where it may be the path that is too long."""
SHORT_WRITE: Final = re.compile(r"\d+ requested and \d+ written")
"""What numpy says of an array that did not fit on the disk; it keeps no code."""


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn what any library raises where `path` cannot be written into one error.

    Raises:
        StorageError: the disk is full, the folder read-only, or the disk fails.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        if storage_code(error) in FULL or _is_about(error, path.parent):
            raise storage_error(path, error) from error
        raise


def storage_error(path: Path, error: BaseException) -> StorageError:
    """The error that says why `path` was not written."""
    code = storage_code(error) or (error.errno if isinstance(error, OSError) else None)
    reason = os.strerror(code) if code else str(error)
    remedy = "Make room there, or name" if code in FULL else "Name"
    return StorageError(
        f"{path} cannot be written: {reason[:1].lower()}{reason[1:]}. {remedy} another place to write to."
    )


def refusal(error: Exception) -> StorageError | None:
    """The error that says what the system refused, of one that nothing has said more of; None where it is another."""
    code = _code(error)
    if code not in FAILING and not (isinstance(error, OSError) and code in MISPLACED):
        return None
    named = getattr(error, "filename", None)
    place = Path(os.fsdecode(named)[:SHOWN]) if isinstance(named, str | bytes) else None
    if place is not None and code in FULL:
        return storage_error(place, error)
    what = f"{place} cannot be read or written" if place else "A file cannot be written"
    reason = os.strerror(code)
    return StorageError(
        f"{what}: {reason[:1].lower()}{reason[1:]}. Name another place (--to, --out, RECSYS_HOME), or make room and "
        "rights there."
    )


def storage_code(error: BaseException | None) -> int | None:
    """The system's code of a failure of storage that an error, or what led to it, tells of; None without one."""
    while error is not None:
        code = _code(error)
        if code in FAILING:
            return code
        error = error.__cause__ or error.__context__
    return None


def _is_about(error: Exception, folder: Path) -> bool:
    """Whether the system refused a file in `folder`."""
    named = getattr(error, "filename", None)
    return storage_code(error) is not None and isinstance(named, str) and Path(named).absolute().is_relative_to(folder)


def _code(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if SHORT_WRITE.search(str(error)):
        return errno.ENOSPC
    if isinstance(error, RecsysError):
        return None
    found = CODE.search(str(error))
    if found:
        return int(found[1])
    return next((code for words, code in WORDS.items() if words in str(error)), None)
