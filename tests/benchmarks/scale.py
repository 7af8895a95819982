"""From a laptop to a cluster: ingest of ever larger logs, and the same answers on a Ray cluster: `make bench-scale`.

Parts, each a command of its own: `scale_ingest`, `scale_ray`, `scale_top_k`. Figures are kept under results/scale. Of
`scale_training`, `scale_sharded` and `size` the kept ones are printed. The last line of output is JSON.

    python -m tests.benchmarks.scale [--only scale_ingest,scale_ray,scale_top_k,scale_training,scale_sharded,size]
"""

from tests.benchmarks.parts import run_parts

PARTS = {
    "scale_ingest": (),
    "scale_ray": (),
    "scale_top_k": (),
    "scale_training": ("--print",),
    "scale_sharded": ("--print",),
    "size": ("--print",),
}


if __name__ == "__main__":
    run_parts(__doc__, PARTS)
