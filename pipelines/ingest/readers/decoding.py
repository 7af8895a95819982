"""From bytes in any encoding to text; what is no text there comes as lone surrogates, so that its line is told apart.

Python's `surrogateescape` is for encodings that hold ASCII: it refuses bytes below 128, and of the two or four bytes of
a wide character it may pass one alone, after which nothing of the file is read as it was written.
"""

import codecs
from collections.abc import Callable

ERRORS = "recsys-lone-surrogates"
WIDE = ("utf-16", "utf-32", "utf_16", "utf_32")


def decoder(encoding: str) -> Callable[..., str]:
    """What makes text of the bytes of a file, piece by piece.

    Raises:
        LookupError: there is no such encoding, or it is none of text.
        ValueError: it cannot be read piece by piece, or is no name.
    """
    "a".encode(encoding)  # those of other things, such as hex, raise LookupError
    decode = codecs.getincrementaldecoder(encoding)(ERRORS).decode
    decode(b"")
    return decode


def _lone_surrogates(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    is_wide = error.encoding.lower().startswith(WIDE)
    # What is of ASCII behind the first byte may be text, such as a line end.
    behind = (at for at in range(error.start + 1, error.end) if not is_wide and error.object[at] < 128)
    end = next(behind, error.end)
    bad = "".join(chr(0xDC00 + byte) for byte in error.object[error.start : end])
    # Python's decoders of Asian encodings leave out what follows in the last bytes of a file.
    if end < error.end == len(error.object):
        return bad + error.object[end:].decode(error.encoding, ERRORS), error.end
    return bad, end


codecs.register_error(ERRORS, _lone_surrogates)
