"""Ingest on a cluster: the steps of one machine as calls over files and parts; the dataset is the same, byte for byte.

Rows go from call to call by way of files in the dataset's own hidden folder, which all nodes see; each call writes into
a folder of its own, so that it can be made again. What comes back are counts and names of files.
"""
