"""The convolutional trunk of the networks that read a glyph as a whole: the recogniser and the contrastive model."""

import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from torch import Tensor, nn

SIZE = 64  # pixels; other pictures are resized by averaging


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation and a skip; the first may halve the resolution."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or n_in != n_out:
            self.skip = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.body(x))


class GlyphReader(ModelMixin, ConfigMixin):
    """A network that turns a glyph into one vector of features; a small residual network (He et al. 2016)."""

    def build_trunk(self, widths: tuple[int, ...], feature_dim: int, blocks: int = 2) -> None:
        """Make the layers: `blocks` blocks of `widths` channels at 32, 16, 8 and 4 pixels, then the features."""
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        stages: list[nn.Module] = []
        n_in = widths[0]
        for level, n in enumerate(widths):
            first = Block(n_in, n, 2 if level else 1)
            stages.append(nn.Sequential(first, *(Block(n, n, 1) for _ in range(blocks - 1))))
            n_in = n
        self.stages = nn.ModuleList(stages)
        # Where a part stands matters for what it is (a radical on the left, on top), so the 4 x 4 grid is not averaged.
        self.to_features = nn.Sequential(
            nn.Conv2d(n_in, n_in // 2, 1, bias=False),
            nn.BatchNorm2d(n_in // 2),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(n_in // 2 * 16, feature_dim),
        )

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1], paper = +1, square -> features (B, feature_dim)."""
        x = F.interpolate(images.to(self.dtype), size=(SIZE, SIZE), mode="area")
        x = self.stem(1 - x)  # ink is the signal, paper is zero, as is the padding
        for stage in self.stages:
            x = stage(x)
        return self.to_features(x)
