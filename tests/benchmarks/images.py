"""Every image model beside published figures and simpler methods: `make bench-images`.

Each run is one JSON file under results/images, named after the model and the seed; what is there is printed, what is
missing is measured (--fresh measures again), within about ten minutes of processor time a run. The parts say what they
do: images_base.py (autoencoders), images_var.py (variational models), images_vq.py (vector quantization) and
images_see.py (anomalies, probes). Settings are chosen on the last 10,000 images of MNIST's train part, or on a part cut
from the generated shapes; the test part is read once a reported model.

The last line is one JSON object; null is what has not been measured. In it `denoise_psnr_gain_db` is the gain, under
Gaussian noise, over the better one of the noisy image and the median filter, and `prior_bits_per_image` that of the
prior with fewer nats on validation; `gray_vae_loss` is that of a learning rate that falls to 0. That of the constant
rate of PyTorch's example stands beside it in the table.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks import images_base, images_see, images_var, images_vq
from tests.benchmarks.records import existing, record

BENCHMARK = "images"
SEED = 0
PARTS = (images_base, images_var, images_vq, images_see)
PRIORS = ("vq-prior-pixelcnn", "vq-prior-transformer")


@dataclass(frozen=True)
class Line:
    """A figure of a record, as a row of a table.

    Attributes:
        label: for people.
        run: name of the record, without its seed.
        figure: its key in the record.
        beside: what it is set beside, in words.
    """

    label: str
    run: str
    figure: str
    beside: str = ""


TABLES: dict[str, tuple[Line, ...]] = {
    "Codes of 32 numbers, mean squared error a pixel, MNIST test, grayscale": (
        Line("PCA", "ae", "pca_mse"),
        Line("ae", "ae", "ae_mse", "below PCA"),
        Line("conv-ae", "conv-ae", "conv_ae_mse", "below ae"),
    ),
    "Denoising, mean PSNR in dB, MNIST test, grayscale": tuple(
        Line(f"{noise}: {of}", f"denoising-ae-{noise}", f"{of}_psnr", "above noisy and median" * (of == "model"))
        for noise in images_base.LEVELS
        for of in ("noisy", "median", "model")
    ),
    "Sparse codes of 256 units, MNIST test, grayscale": tuple(
        Line(f"{sparsity}: {what}", "sparse-ae", f"{sparsity}_{figure}")
        for sparsity in images_base.SPARSITIES
        for what, figure in (("mean squared error", "mse"), ("share in use", "share_in_use"), ("dead", "dead_units"))
    ),
    "Variational models, nats an image, MNIST test": (
        Line("vae, static: NLL, 500 samples", "vae", "nll_500", "97.1 published"),
        Line("vae, static: -ELBO", "vae", "negative_elbo"),
        Line("vae, static: active units", "vae", "active_units"),
        Line("importance-weighted, static: NLL, 500 samples", "iwae", "nll_500", "below vae"),
        Line("importance-weighted, static: -ELBO", "iwae", "negative_elbo"),
        Line("conv-vae, static: NLL, 500 samples", "conv-vae", "nll_500"),
        Line("conv-vae, static: -ELBO", "conv-vae", "negative_elbo"),
        Line("vae 784-400-20, grayscale, 7 epochs: loss", "gray-vae", "test_loss", "106.7, PyTorch's example"),
        Line("the same, learning rate falling from 2e-3 to 0", "gray-vae-decayed", "test_loss", "106.7"),
    ),
    "Factors and classes": (
        Line("mutual information gap, beta = 1", "beta-vae", "mig_beta1"),
        Line("mutual information gap, best beta", "beta-vae", "mig_best", "above beta = 1"),
        Line("best beta", "beta-vae", "best_beta"),
        Line("samples of a class that a classifier recognises", "conditional-vae", "recognised", "at least 0.95"),
        Line("the classifier on real test images", "conditional-vae", "classifier_test_accuracy"),
    ),
    "Vector quantization, MNIST test, grayscale": (
        Line("vq-vae, 7 x 7 codes of 128: mean squared error", "vq-vae", "mse", "0.0042 published, 30 epochs"),
        Line("vq-vae: share of the codebook in use", "vq-vae", "codebook_use_test", "at least 0.9"),
        Line("vq-vae: perplexity", "vq-vae", "codebook_perplexity_test"),
        Line("vq-vae: bits an image, all codes alike", "vq-vae", "bits_per_image"),
        *(Line(f"{prior}: bits an image", prior, "bits_per_image") for prior in PRIORS),
        *(Line(f"{prior}: nats a code", prior, "nats_per_code") for prior in PRIORS),
        Line("vq-vae-2: mean squared error", "vq-vae-2", "mse", "vq-vae at equal bits"),
        Line("vq-vae-2: bits an image, all codes alike", "vq-vae-2", "bits_per_image"),
    ),
}

SUMMARY: dict[str, tuple[str, str]] = {
    "vae_nll": ("vae", "nll_500"),
    "vae_elbo": ("vae", "negative_elbo"),
    "iwae_nll": ("iwae", "nll_500"),
    "gray_vae_loss": ("gray-vae-decayed", "test_loss"),
    "ae_mse": ("ae", "ae_mse"),
    "pca_mse": ("ae", "pca_mse"),
    "conv_ae_mse": ("conv-ae", "conv_ae_mse"),
    "vqvae_mse": ("vq-vae", "mse"),
    "vqvae_codebook_use": ("vq-vae", "codebook_use_test"),
    "mig_beta1": ("beta-vae", "mig_beta1"),
    "mig_best": ("beta-vae", "mig_best"),
    "cvae_class_accuracy": ("conditional-vae", "recognised"),
}
ORDER = (
    *("vae_nll", "vae_elbo", "iwae_nll", "gray_vae_loss", "ae_mse", "pca_mse", "conv_ae_mse", "denoise_psnr_gain_db"),
    *("anomaly_auroc", "vqvae_mse", "vqvae_codebook_use", "prior_bits_per_image", "mig_beta1", "mig_best"),
    "cvae_class_accuracy",
)


def runs() -> dict[str, Callable[[int], Mapping[str, Any]]]:
    """Every run by name, of all parts."""
    return {name: measure for part in PARTS for name, measure in part.RUNS.items()}


def figures(run: str) -> dict[str, Any] | None:
    """What was measured; None where nothing was."""
    found = existing(BENCHMARK, f"{run}-seed{SEED}")
    return None if found is None else dict(found["figures"])


def figure(run: str, name: str) -> float | None:
    """One of them; of figures by level, that of the finest."""
    found = (figures(run) or {}).get(name)
    return None if found is None else float(found[-1] if isinstance(found, list) else found)


def summary() -> dict[str, float | None]:
    """The last line."""
    found = {name: figure(*where) for name, where in SUMMARY.items()}
    found |= {"denoise_psnr_gain_db": _gain(), "prior_bits_per_image": _prior_bits()}
    area = images_see.mean_auroc(SEED).get(_chosen())
    found["anomaly_auroc"] = None if area is None else area[0]
    return {name: None if found[name] is None else round(found[name], 5) for name in ORDER}  # type: ignore[arg-type]


def show() -> None:
    """Print the tables."""
    console = Console(width=120)
    for title, lines in TABLES.items():
        console.print(f"\n{title}")
        table = Table("", "measured", "beside", "CPU minutes")
        for line in lines:
            table.add_row(line.label, _measured(line), line.beside, _minutes(line.run))
        console.print(table)
    console.print(_anomalies())
    console.print(_probes())


def _measured(line: Line) -> str:
    value, error = figure(line.run, line.figure), figure(line.run, f"{line.figure}_se")
    if value is None:
        return "not measured"
    return f"{value:.4g}" if value == round(value) else f"{value:.5g}" + (f" ± {error:.2g}" if error else "")


def _minutes(run: str) -> str:
    value = figure(run, "cpu_minutes")
    return "" if value is None else f"{value:.1f}"


def _anomalies() -> Table:
    table = Table("one-class MNIST, ten digits, test", "mean area under the curve")
    for name, (area, error) in images_see.mean_auroc(SEED).items():
        table.add_row(name, f"{area:.4f} ± {error:.4f}" + " (chosen on validation)" * (name == _chosen()))
    return table


def _probes() -> Table:
    table = Table("linear probe, MNIST test", "accuracy")
    for name, probe in (figures("probe") or {}).items():
        if isinstance(probe, dict):
            table.add_row(name, f"{probe['accuracy']:.4f} ± {probe['standard_error']:.4f}")
    return table


def _chosen() -> str:
    return str((figures("anomaly-0") or {}).get("chosen"))


def _gain() -> float | None:
    gains = [figure("denoising-ae-gaussian", f"gain_over_{other}_db") for other in ("noisy", "median")]
    found = [gain for gain in gains if gain is not None]
    return min(found) if found else None


def _prior_bits() -> float | None:
    nats = {prior: figure(prior, "validation_nats_given_class") for prior in PRIORS}
    known = {prior: value for prior, value in nats.items() if value is not None}
    return figure(min(known, key=known.__getitem__), "bits_per_image") if known else None


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--only", nargs="*", choices=list(runs()), help="measure only these runs")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    wanted = runs()
    for run in () if arguments.print else arguments.only or wanted:
        record(BENCHMARK, f"{run}-seed{SEED}", partial(wanted[run], SEED), fresh=arguments.fresh)
    show()
    print(json.dumps(summary()))


if __name__ == "__main__":
    main()
