"""From the bytes of a log to rows: blocks of text columns, and apart from them every line that could not be read."""

from pipelines.ingest.readers.blocks import Block, Made, Rejected
from pipelines.ingest.readers.layout import Compression, Kind, Layout, LineTransformer
from pipelines.ingest.readers.reader import LogReader, open_log

__all__ = [
    "Block",
    "Compression",
    "Kind",
    "Layout",
    "LineTransformer",
    "LogReader",
    "Made",
    "Rejected",
    "open_log",
]
