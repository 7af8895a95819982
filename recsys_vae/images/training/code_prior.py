"""Fitting a prior over the codes of a trained vector-quantized model, so that it can sample."""

from dataclasses import replace
from pathlib import Path

from recsys_vae.errors import ModelError
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.data.pixels import GRAYSCALE, STATIC, prepared
from recsys_vae.images.models.vector_quantized import VectorQuantized
from recsys_vae.images.training.code_set import CodeSet
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import ImageTrainingResult, train_images
from recsys_vae.training.tracking import Tracker


def fit_prior(
    model: VectorQuantized,
    images: ImageSet,
    config: ImageTrainingConfig,
    *,
    validation: ImageSet | None = None,
    tracker: Tracker | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> ImageTrainingResult:
    """Train a model's prior on the codes of images; encoder, decoder and codebooks stay as they are.

    The prior must have been added, as `model.add_prior("pixelcnn", classes=10)`. Its loss is -log p(codes | y) in nats
    an image. Dynamic pixels are drawn once here, since the codes are computed once.

    Args:
        model: trained, on the CPU.
        images: those that the model was trained on, with labels where the prior has classes.
        config: how; `pixels` says what the model sees.
        validation: on which the nats are measured after each epoch.
        tracker, checkpoint, resume, progress: as in `train_images`.

    Raises:
        ModelError: no prior has been added.
        DataError: images of another shape than the model's, or labels that the prior cannot use.
        TrainingError, CheckpointError, KeyboardInterrupt: as in `train_images`.
    """
    if model.prior is None:
        raise ModelError("The model has no prior to fit: add one first, as model.add_prior('pixelcnn').")
    pixels = config.pixels_for(model.config.likelihood)
    held = GRAYSCALE if pixels == GRAYSCALE else STATIC
    model.eval()
    result = train_images(
        model.prior,
        CodeSet.of(model, prepared(images, held)),
        replace(config, pixels=GRAYSCALE),
        validation=None if validation is None else CodeSet.of(model, prepared(validation, held)),
        tracker=tracker,
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
    )
    model.prior.fitted.fill_(True)
    return replace(result, pixels=pixels)
