"""Sinks: where finished lists go, beside a Parquet file of this machine."""
