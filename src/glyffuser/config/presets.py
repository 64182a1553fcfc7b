"""The table of presets: settings that go together, by name."""

from typing import Any

from glyffuser.base.errors import UserError
from glyffuser.config.fields import set_field
from glyffuser.config.settings import Config

# What `gpu`, `cpu` and the presets built on `cpu` share: fewer steps for the same loss, and faster steps.
FAST: dict[str, Any] = {
    "data.balance": 0.4,
    "data.composition": 0.15,
    "data.drop_radical": 0.7,
    "text.words_only": True,
    "text.tower": 256,
    "model.norm_groups": 0,
    "model.num_class_embeds": 215,
    "train.optimizer": "muon",
    "train.lr": 2e-3,
}

# The fast recipe, for two CPU cores and some hours: it made the bundled model. The time limit is for slower machines.
CPU: dict[str, Any] = {
    **FAST,
    "train.max_steps": 4000,
    "train.max_minutes": 300.0,
    "train.decay": 0.3,
    "train.ema_decay": 0.999,
    "train.preview_every": 500,
}

# What upscalers share, and the autoencoder: small pictures decide most of what is drawn, so little training is enough.
UPSCALE: dict[str, Any] = {
    "model.kind": "upscaler",
    "model.norm_groups": 0,
    "train.optimizer": "muon",
    "train.lr": 2e-3,
    "train.warmup_steps": 50,
    "train.batch_size": 16,
    "train.max_minutes": 20.0,
    "train.decay": 0.3,
    "train.ema_decay": 0.998,
    "train.preview_every": 200,
}

# Each preset is the defaults of settings.py with these fields changed. docs/LOG.md says how the numbers were found.
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": CPU,
    # The same recipe on a finer grid, for one GPU; not measured yet. As large as 64 MiB of bfloat16 weights allow.
    "gpu": {
        **FAST,
        "model.patch_size": 4,
        "model.block_out_channels": (96, 192, 288),
        "model.attention_levels": (False, True, True),
        "model.attention_head_dim": 32,
        "train.batch_size": 256,
        "train.max_minutes": 28.0,
        "train.compile": True,
        "train.ema_decay": 0.999,
    },
    # The recipe and the cost of `cpu`, with a diffusion transformer (docs/LOG.md, entry 40).
    "transformer": {
        **CPU,
        "model.kind": "transformer",
        "model.block_out_channels": (256,),
        "model.layers_per_block": 7,
    },
    # The recipe of `cpu` without any text: glyphs alone (docs/LOG.md, entry 40).
    "unconditional": {
        **CPU,
        "data.composition": 0.0,
        "model.text_route": "none",
        "model.num_class_embeds": 0,
        "text.tower": 0,
    },
    # The recipe of `cpu` for a data set of several fonts; the network is told the style (docs/LOG.md, entry 40).
    "styles": {
        **CPU,
        "data.path": "data/styles.parquet",
        "model.styled": True,
    },
    # The first stage of a cascade: the recipe of `cpu` for glyphs of 32 pixels, on the same grid (docs/CASCADE.md).
    "cascade": {
        **CPU,
        "data.path": "data/glyphs-32.parquet",
        "model.sample_size": 32,
        "model.patch_size": 2,
    },
    # The second and third stages, which enlarge and read no text. The third is bundled (docs/LOG.md, entry 38).
    "upscale128": {
        **UPSCALE,
        "model.sample_size": 128,
        "model.low_size": 32,
        "model.crop": 128,
        "model.patch_size": 4,
        "model.block_out_channels": (48, 96),
    },
    "upscale512": {
        **UPSCALE,
        "data.path": "data/glyphs-512.parquet",
        "model.sample_size": 512,
        "model.low_size": 128,
        "model.crop": 192,
        "model.patch_size": 8,
        "model.block_out_channels": (64, 96),
    },
    # A glyph as 16 x 16 latents of 4 channels, and diffusion on these with a network as large as that of `cpu`
    # (docs/LATENT.md). The first is bundled.
    "autoencoder": {
        **UPSCALE,
        "model.kind": "autoencoder",
        "model.patch_size": 4,
        "model.block_out_channels": (48, 96),
        "model.layers_per_block": 1,
    },
    "latent": {
        **CPU,
        "model.autoencoder": "bundled",
        "model.patch_size": 1,
    },
    # The classic recipe: Ho et al. 2020 on plain pixels, about 119 M parameters, for a large GPU; not measured yet.
    "article": {
        "data.definition": 1.0,
        "data.sense": 0.0,
        "data.mixture": 0.0,
        "model.patch_size": 1,
        "model.block_out_channels": (128, 256, 512, 512),
        "model.attention_levels": (False, True, True, False),  # and in the middle
        "model.mlp_ratio": 1.25,
        "diffusion.schedule": "linear",
        "diffusion.prediction_type": "epsilon",
        "diffusion.timesteps": "uniform",
        "diffusion.weighting": "simple",
        "diffusion.shift": 1.0,
        "train.lr": 1e-4,
        "train.warmup_steps": 1000,
        "train.decay": 1.0,
        "train.beta2": 0.999,
        "train.ema_decay": 0.9999,
    },
    # For tests: learns next to nothing, but runs the same code as the others.
    "tiny": {
        "model.block_out_channels": (32, 64),
        "model.layers_per_block": 1,
        "model.attention_head_dim": 32,
        "train.batch_size": 16,
        "train.max_steps": 60,
        "train.warmup_steps": 5,
        "train.preview_every": 30,
        "train.checkpoint_every": 30,
        "train.log_every": 10,
        "train.ema_decay": 0.9,
    },
}

# What `glyffuser distil` changes in the preset `cpu`, by method. Learning rates as for fine-tuning; no momentum where
# two networks chase each other, as in Salimans et al. 2024.
STUDENTS: dict[str, dict[str, Any]] = {
    "guidance": {
        "train.optimizer": "adamw",
        "train.lr": 2e-4,
        "train.max_minutes": 60.0,
        "train.decay": 1.0,
    },
    "consistency": {
        "diffusion.timesteps": "uniform",
        "train.optimizer": "adamw",
        "train.lr": 2e-4,
        "train.batch_size": 16,
        "train.max_minutes": 90.0,
        "train.decay": 0.5,
        "train.ema_decay": 0.995,
    },
    "moments": {
        "diffusion.timesteps": "uniform",
        "train.optimizer": "adamw",
        "train.lr": 1e-4,
        "train.beta1": 0.0,
        "train.max_minutes": 240.0,
        "train.decay": 0.5,
    },
}


# What `glyffuser align` changes in the preset `cpu`. Short and slow, as for fine-tuning; the averages must keep up.
ALIGNED: dict[str, Any] = {
    "train.optimizer": "adamw",
    "train.lr": 1e-5,
    "train.warmup_steps": 20,
    "train.batch_size": 16,
    "train.max_steps": 300,
    "train.max_minutes": 0.0,
    "train.decay": 0.5,
    "train.ema_decay": 0.95,
    "train.log_every": 5,
    "train.preview_every": 50,
    "train.checkpoint_every": 50,
}


def preset(name: str) -> Config:
    """The Config of a named preset; UserError, listing the names, for an unknown one."""
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    config = Config()
    for key, value in PRESETS[name].items():
        set_field(config, key, value)
    return config
