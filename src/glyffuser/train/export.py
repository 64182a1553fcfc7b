"""What a run leaves: a pipeline around its network or, for a companion, the network alone."""

from typing import Any

from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.schedulers import GlyffuserScheduler
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.train.distil import usual
from glyffuser.train.parts import Parts

MEASURED = 256  # glyphs from which an autoencoder's latents are normalised


def exported(parts: Parts, network: Any) -> Any:
    """`network`, with averaged weights, as it is saved and previewed; the result always has `save_pretrained`."""
    if isinstance(network, Autoencoder):
        network.normalise(parts.batches.images(range(min(MEASURED, len(parts.batches)))))
    if parts.encoder is None:
        return network
    drawn = usual(parts.config.distil) if parts.reference is None else parts.reference.usual
    scheduler = GlyffuserScheduler.for_schedule(parts.process.schedule, **drawn)
    pipe = GlyffuserPipeline(network, parts.encoder, scheduler, tower=parts.tower, vae=parts.autoencoder).to(
        parts.device
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
