"""Thrift's compact protocol, as much of it as Parquet's headers and footers are written in.

A value is a pair: its type's number and its bytes
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md).
"""

from collections.abc import Mapping, Sequence

Value = tuple[int, bytes]
_TRUE, _FALSE, _I8, _I32, _I64, _BINARY, _LIST, _STRUCT = 1, 2, 3, 5, 6, 8, 9, 12
_LONG_LIST = 15


def truth(value: bool) -> Value:
    """A boolean, as the field of a struct."""
    return (_TRUE if value else _FALSE, b"")


def i8(number: int) -> Value:
    """A whole number of 8 bits."""
    return _I8, number.to_bytes(1, "little", signed=True)


def i32(number: int) -> Value:
    """A whole number of 32 bits."""
    return _I32, varint(_zigzag(number))


def i64(number: int) -> Value:
    """A whole number of 64 bits."""
    return _I64, varint(_zigzag(number))


def text(words: str) -> Value:
    """Text."""
    written = words.encode()
    return _BINARY, varint(len(written)) + written


def several(values: Sequence[Value]) -> Value:
    """A list of one value or more, of one type."""
    kind, size = values[0][0], len(values)
    head = bytes([size << 4 | kind]) if size < _LONG_LIST else bytes([_LONG_LIST << 4 | kind]) + varint(size)
    return _LIST, head + b"".join(value for _, value in values)


def struct(fields: Mapping[int, Value]) -> Value:
    """A struct of fields by their numbers, ascending and at most 15 apart."""
    written = bytearray()
    before = 0
    for number, (kind, value) in fields.items():
        written += bytes([(number - before) << 4 | kind]) + value
        before = number
    return _STRUCT, bytes(written) + b"\0"


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def varint(number: int) -> bytes:
    """A whole number from 0, seven bits a byte, the lowest first."""
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
