"""Models of image series that see a pixel's surroundings; they take and give what those of `series` do."""

from collections.abc import Sequence
from math import gcd
from typing import Any, cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.dimensions import Dimensions
from eoseg.models.encoders import encoder_args, resolve_encoder
from eoseg.models.options import require_share, require_whole
from eoseg.models.series import LightweightAttention
from eoseg.models.series_time import season, usable


def convlstm(dims: Dimensions, *, hidden: int = 32, layers: int = 1, kernel: int = 3) -> nn.Module:
    """ConvLSTM: an LSTM whose steps are convolutions; the state after the last date is classified.

    Shi et al. 2015, https://arxiv.org/abs/1506.04214; the cells of torchgeo's `ConvLSTM`, which knows no
    missing dates. Here a pixel keeps its state at dates that are not valid there. Takes any number of dates;
    sine and cosine of the day of the year are two more bands.

    Args:
        hidden: Channels of the state.
        layers: Number of ConvLSTMs, each over the states of the one before.
        kernel: Odd size of the convolutions in pixels.
    """
    from torchgeo.models import ConvLSTM

    require_whole("hidden", hidden, 1)
    require_whole("layers", layers, 1)
    require_whole("kernel", kernel, 1)
    if kernel % 2 == 0:
        raise ConfigError(f"kernel is an odd number of pixels, found {kernel}. Take {kernel + 1}.")
    model = ConvLSTM(dims.channels + 2, hidden, kernel, layers, num_classes=dims.classes)
    return _ConvLSTM(model)


def utae(
    dims: Dimensions,
    *,
    encoder: str = "resnet18",
    depth: int = 3,
    channels: int = 32,
    width: int = 128,
    heads: int = 16,
    keys: int = 4,
    dropout: float = 0.2,
) -> nn.Module:
    """U-TAE: a U-Net whose encoder sees each date alone, and L-TAE that weighs the dates at each level.

    Garnot and Landrieu 2021, https://arxiv.org/abs/2107.07933, with an encoder of smp in place of their own.
    The attention is found at the coarsest level and upsampled to the others. Takes any number of dates, in
    any order. Torchgeo has no such model.

    Args:
        encoder: Any name of `eoseg.models.encoders.resolve_encoder` of a convolutional encoder.
        depth: Number of halvings, 2 to 5.
        channels: Channels of the decoder at full resolution; doubled at each halving.
        width: Channels of a date in the attention; a multiple of `heads`.
        heads: Number of attention heads; each weighs its own share of the encoder's channels.
        keys: Size of a head's query and keys.
        dropout: Share of the attention's result dropped in training, 0 to below 1.
    """
    import segmentation_models_pytorch as smp

    require_whole("depth", depth, 2, 5)
    require_whole("channels", channels, 1)
    require_whole("width", width, 1)
    require_whole("heads", heads, 1)
    require_whole("keys", keys, 1)
    require_share("dropout", dropout)
    name = resolve_encoder(encoder)
    model = smp.Unet(
        name,
        encoder_depth=depth,
        encoder_weights=None,
        decoder_channels=[channels * 2**level for level in reversed(range(depth))],
        in_channels=dims.channels,
        classes=dims.classes,
        **encoder_args(name),
    )
    levels = [int(size) for size in model.encoder.out_channels]
    common = gcd(width, *levels[1:])
    if common % heads:
        raise ConfigError(
            f"heads divides the width {width} and the channels of the encoder "
            f"({', '.join(map(str, levels[1:]))}), found {heads}. Take {common}, or a divisor of it."
        )
    return _UTAE(model, levels, width=width, heads=heads, keys=keys, dropout=dropout)


class _ConvLSTM(nn.Module):
    output_stride = 1

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.cells: nn.ModuleList = model.cell_list
        self.head: nn.Module = model.head

    def forward(self, image: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        """Map `(B, T, C, H, W)`, valid `(B, T, H, W)` and days `(B, T)` to logits `(B, K, H, W)`."""
        seen = valid.unsqueeze(2)  # (B, T, 1, H, W)
        values = image.masked_fill(~seen, 0.0)
        code = season(days).to(values.dtype)[..., None, None]  # (B, T, 2, 1, 1)
        batch, steps, _, height, width = values.shape
        inputs = torch.cat([values, code.expand(-1, -1, -1, height, width)], dim=2)
        sizes = [int(cast(int, cell.hidden_dim)) for cell in self.cells]
        states = [(values.new_zeros(batch, size, height, width),) * 2 for size in sizes]
        for step in range(steps):
            features = inputs[:, step]  # (B, C + 2, H, W)
            for place, cell in enumerate(self.cells):
                hidden, memory = cell(features, states[place])
                kept = seen[:, step]  # (B, 1, H, W)
                states[place] = (
                    torch.where(kept, hidden, states[place][0]),
                    torch.where(kept, memory, states[place][1]),
                )
                features = states[place][0]  # (B, hidden, H, W)
        return cast(Tensor, self.head(states[-1][0]))  # (B, K, H, W)


class _UTAE(nn.Module):
    def __init__(
        self, model: Any, levels: Sequence[int], *, width: int, heads: int, keys: int, dropout: float
    ) -> None:
        super().__init__()
        self.encoder: nn.Module = model.encoder
        self.decoder: nn.Module = model.decoder
        self.head: nn.Module = model.segmentation_head
        self.embed = nn.Sequential(nn.Linear(levels[-1], width), nn.LayerNorm(width))
        self.attention = LightweightAttention(width, heads=heads, keys=keys, dropout=0.0)
        self.merge = nn.Sequential(
            nn.Conv2d(width, levels[-1], kernel_size=1, bias=False),
            nn.BatchNorm2d(levels[-1]),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )

    def forward(self, image: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        """Map `(B, T, C, H, W)`, valid `(B, T, H, W)` and days `(B, T)` to logits `(B, K, H, W)`."""
        levels = self._encode(image.masked_fill(~valid.unsqueeze(2), 0.0), valid)
        summary, weights = self._attend(levels[-1], _seen_at(valid, levels[-1]), days.float())
        skips = [_weigh(level, weights, _seen_at(valid, level)) for level in levels[1:-1]]  # (B, C_l, h, w)
        # of the image itself the decoder takes the size alone
        merged = [levels[0][:, 0], *skips, self.merge(summary)]
        return cast(Tensor, self.head(self.decoder(merged)))  # (B, K, H, W)

    def _encode(self, image: Tensor, valid: Tensor) -> list[Tensor]:
        """The features of each date, `(B, T, C_l, h, w)` per level.

        Dates without a single valid pixel are left out, so that they have no part in batch normalisation.
        """
        used = usable(valid.flatten(2).any(dim=2)).flatten()  # (B T,)
        frames = image.flatten(0, 1)[used].contiguous(memory_format=torch.channels_last)
        levels: list[Tensor] = []
        for features in self.encoder(frames):
            all_dates = features.new_zeros(len(used), *features.shape[1:])
            all_dates[used] = features
            levels.append(all_dates.view(*image.shape[:2], *features.shape[1:]))
        return levels

    def _attend(self, features: Tensor, seen: Tensor, days: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh the dates at each pixel of the coarsest level: `(B, E, h, w)`, `(B, heads, T, h, w)`."""
        batch, steps, size, height, width = features.shape
        pixels = features.permute(0, 3, 4, 1, 2).reshape(-1, steps, size)  # (N, T, C), N = B h w
        known = seen.permute(0, 2, 3, 1).reshape(-1, steps)  # (N, T)
        times = days[:, None].expand(-1, height * width, -1).reshape(-1, steps)
        summary, weights = self.attention(self.embed(pixels), known, times)
        unknown = ~known.any(dim=1, keepdim=True)  # (N, 1)
        summary = summary.masked_fill(unknown, 0.0)
        weights = weights.masked_fill(unknown.unsqueeze(2), 0.0)
        grid = (batch, height, width)
        return (
            summary.view(*grid, -1).permute(0, 3, 1, 2),
            weights.view(*grid, *weights.shape[1:]).permute(0, 3, 4, 1, 2),
        )


def _seen_at(valid: Tensor, features: Tensor) -> Tensor:
    """Whether a pixel of a level, `(B, T, h, w)`, holds a valid pixel of the image."""
    height, width = features.shape[-2:]
    step = (valid.shape[-2] // height, valid.shape[-1] // width)
    return nn.functional.max_pool2d(valid.float(), step) > 0


def _weigh(features: Tensor, weights: Tensor, seen: Tensor) -> Tensor:
    """Mean over the dates with upsampled attention: `(B, T, C_l, h, w)` to `(B, C_l, h, w)`.

    Dates that are not valid at a pixel get no weight there; the others share it. Where there is none, the
    mean is 0, whatever is seen elsewhere: a map does not depend on where its tiles end.
    """
    batch, steps, size, height, width = features.shape
    heads = weights.shape[1]
    larger = nn.functional.interpolate(
        weights.flatten(1, 2), size=(height, width), mode="bilinear", align_corners=False
    ).view(batch, heads, steps, height, width)
    larger = larger.masked_fill(~seen.unsqueeze(1), 0.0) + 1e-6 * seen.unsqueeze(1)
    larger = larger / larger.sum(dim=2, keepdim=True).clamp(min=1e-6)
    groups = features.view(batch, steps, heads, size // heads, height, width)
    return torch.einsum("bgthw,btgchw->bgchw", larger, groups).flatten(1, 2)
