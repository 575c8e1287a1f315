"""Models of the series of single pixels: each maps `(B, T, C, H, W)`, valid and days to `(B, K, H, W)`.

A function takes what the data fix, then its own options as keyword-only arguments with plain defaults. Dates
that are not valid at a pixel are left out there (`tempcnn` interpolates over them). Models that look at a
pixel's surroundings too are in `series_dense`.
"""

from typing import cast

import torch
from torch import Tensor, nn

from eoseg.errors import ConfigError
from eoseg.models.dimensions import Dimensions
from eoseg.models.options import require_share, require_whole
from eoseg.models.series_time import PixelSeries, encode_days, fill_gaps, season, usable


def lstm(dims: Dimensions, *, hidden: int = 64, layers: int = 2, dropout: float = 0.2) -> nn.Module:
    """LSTM over the valid dates of each pixel; the state after the last one is classified.

    Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735; for land cover Russwurm and
    Koerner 2017, https://doi.org/10.1109/CVPRW.2017.193. Takes any number of dates; sine and cosine of the
    day of the year are two more bands.

    Args:
        hidden: Size of the state.
        layers: Number of LSTMs, each over the states of the one before.
        dropout: Share of the states dropped between layers and before the last one in training, 0 to below 1.
    """
    require_whole("hidden", hidden, 1)
    require_whole("layers", layers, 1)
    require_share("dropout", dropout)
    return PixelSeries(_LSTM(dims, hidden=hidden, layers=layers, dropout=dropout))


def tempcnn(
    dims: Dimensions, *, channels: int = 64, kernel: int = 5, hidden: int = 256, dropout: float = 0.5
) -> nn.Module:
    """TempCNN: three convolutions along time, then two dense layers.

    Pelletier et al. 2019, https://doi.org/10.3390/rs11050523, whose sizes are the defaults. As there,
    gaps are interpolated linearly in time, and all series have one number of dates.

    Args:
        channels: Filters of each convolution.
        kernel: Odd number of dates that a filter covers.
        hidden: Size of the dense layer.
        dropout: Share dropped after each layer in training, 0 to below 1.
    """
    require_whole("channels", channels, 1)
    require_whole("kernel", kernel, 1)
    if kernel % 2 == 0:
        raise ConfigError(f"kernel is an odd number of dates, found {kernel}. Take {kernel + 1}.")
    require_whole("hidden", hidden, 1)
    require_share("dropout", dropout)
    return PixelSeries(_TempCNN(dims, channels=channels, kernel=kernel, hidden=hidden, dropout=dropout))


def ltae(
    dims: Dimensions, *, width: int = 128, heads: int = 16, keys: int = 8, dropout: float = 0.2
) -> nn.Module:
    """L-TAE: each head has one learned query for all series, and its own share of the channels.

    Garnot and Landrieu 2020, https://arxiv.org/abs/2007.00586. Takes any number of dates, in any order: the
    days tell when they were. Ours, because torchgeo's `LTAE` knows neither missing dates nor days, and takes
    one number of dates only.

    Args:
        width: Channels of an embedded date; a multiple of `heads`.
        heads: Number of attention heads.
        keys: Size of a head's query and keys.
        dropout: Share dropped of the attention and after it in training, 0 to below 1.
    """
    require_attention(width, heads)
    require_whole("keys", keys, 1)
    require_share("dropout", dropout)
    return PixelSeries(_LTAE(dims, width=width, heads=heads, keys=keys, dropout=dropout))


def transformer(
    dims: Dimensions, *, width: int = 64, heads: int = 4, layers: int = 2, dropout: float = 0.1
) -> nn.Module:
    """Transformer encoder over the valid dates, whose largest features over time are classified.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; for raw satellite series Russwurm and Koerner 2020,
    https://doi.org/10.1016/j.isprsjprs.2020.06.006. Takes any number of dates, in any order.

    Args:
        width: Channels of an embedded date; a multiple of `heads`. Twice as many between dense layers.
        heads: Number of attention heads.
        layers: Number of blocks.
        dropout: Share dropped in each block in training, 0 to below 1.
    """
    require_attention(width, heads)
    require_whole("layers", layers, 1)
    require_share("dropout", dropout)
    return PixelSeries(_Transformer(dims, width=width, heads=heads, layers=layers, dropout=dropout))


class LightweightAttention(nn.Module):
    """The attention of L-TAE: a mean over the dates for each head's share of the channels.

    Garnot and Landrieu 2020, https://arxiv.org/abs/2007.00586, section 3.2.
    """

    def __init__(self, width: int, *, heads: int, keys: int, dropout: float) -> None:
        """Make the layer.

        Args:
            width: E, the channels of an embedded date.
            heads: Number of attention heads, a divisor of E.
            keys: Size of a head's query and keys.
            dropout: Share of the attention dropped in training.
        """
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.randn(heads, keys) * (2 / keys) ** 0.5)
        self.key = nn.Linear(width, heads * keys)
        self.dropout = nn.Dropout(dropout)

    def forward(self, embedded: Tensor, valid: Tensor, days: Tensor) -> tuple[Tensor, Tensor]:
        """Attend to the valid dates, or to all where there are none.

        Args:
            embedded: `(N, T, E)`, without the days.
            valid: Bool `(N, T)`.
            days: `(N, T)`.

        Returns:
            `(N, E)`, and the attention `(N, heads, T)`, which sums to 1 over the dates.
        """
        share = embedded.shape[-1] // self.heads
        # each head's share of the channels carries the whole code of the day, as in L-TAE
        code = encode_days(days, share + share % 2)[..., :share].to(embedded.dtype)
        dated = embedded + code.repeat(1, 1, self.heads)  # (N, T, E)
        keys = self.key(dated).view(*dated.shape[:2], self.heads, -1)  # (N, T, heads, keys)
        scores = torch.einsum("nthk,hk->nht", keys, self.query) / self.query.shape[1] ** 0.5
        weights = scores.masked_fill(~usable(valid).unsqueeze(1), -torch.inf).softmax(dim=-1)
        weights = self.dropout(weights)  # (N, heads, T)
        values = dated.view(*dated.shape[:2], self.heads, share)
        return torch.einsum("nht,nthe->nhe", weights, values).flatten(1), weights


class _LSTM(nn.Module):
    def __init__(self, dims: Dimensions, *, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0  # torch warns of dropout between a single layer
        self.lstm = nn.LSTM(dims.channels + 2, hidden, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, dims.classes)

    def forward(self, values: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        inputs = torch.cat([values, season(days).to(values.dtype)], dim=-1)  # (N, T, C + 2)
        # valid dates first, in their order: the state after the last of them has seen no other
        order = (~valid).to(torch.uint8).argsort(dim=1, stable=True)
        inputs = inputs.gather(1, order.unsqueeze(-1).expand_as(inputs))
        states: Tensor = self.lstm(inputs)[0]  # (N, T, hidden)
        count = valid.sum(dim=1)  # (N,)
        final = states[torch.arange(len(states), device=states.device), (count - 1).clamp(min=0)]
        final = torch.where(count.unsqueeze(-1) > 0, final, torch.zeros_like(final))  # nothing was seen
        return cast(Tensor, self.head(self.dropout(final)))  # (N, K)


class _TempCNN(nn.Module):
    def __init__(self, dims: Dimensions, *, channels: int, kernel: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.steps = dims.steps
        layers: list[nn.Module] = []
        for before in (dims.channels, channels, channels):
            layers += [
                nn.Conv1d(before, channels, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm1d(channels),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Linear(channels * dims.steps, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden, dims.classes)

    def forward(self, values: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        if values.shape[1] != self.steps:
            raise ConfigError(
                f"TempCNN was made for series of {self.steps} dates, found {values.shape[1]}. Give as "
                "many, or take lstm, ltae or transformer, which take any number."
            )
        filled = fill_gaps(values, valid, days).transpose(1, 2)  # (N, C, T)
        return cast(Tensor, self.head(self.dense(self.convolutions(filled).flatten(1))))  # (N, K)


class _LTAE(nn.Module):
    def __init__(self, dims: Dimensions, *, width: int, heads: int, keys: int, dropout: float) -> None:
        super().__init__()
        # normalised per date: a mean over all dates would let those that are not valid in
        self.embed = nn.Sequential(
            nn.Linear(dims.channels, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.LayerNorm(width),
        )
        self.attention = LightweightAttention(width, heads=heads, keys=keys, dropout=dropout)
        self.head = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(width, dims.classes),
        )

    def forward(self, values: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        summary, _ = self.attention(self.embed(values), valid, days)  # (N, E)
        return cast(Tensor, self.head(summary))  # (N, K)


class _Transformer(nn.Module):
    def __init__(self, dims: Dimensions, *, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(dims.channels, width), nn.LayerNorm(width))
        block = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        # nested tensors would cut off dates at the end that are not valid for any pixel
        self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, dims.classes)

    def forward(self, values: Tensor, valid: Tensor, days: Tensor) -> Tensor:
        embedded = self.embed(values)  # (N, T, E)
        width = embedded.shape[-1]
        code = encode_days(days, width + width % 2)[..., :width].to(embedded.dtype)
        ignored = ~usable(valid)
        features = self.norm(self.blocks(embedded + code, src_key_padding_mask=ignored))
        largest = features.masked_fill(ignored.unsqueeze(-1), -torch.inf).amax(dim=1)  # (N, E)
        return cast(Tensor, self.head(largest))  # (N, K)


def require_attention(width: int, heads: int) -> None:
    """Refuse channels that cannot be shared out among the heads.

    Raises:
        ConfigError: With the nearest width that can.
    """
    require_whole("heads", heads, 1)
    require_whole("width", width, 1)
    if width % heads:
        above = (width // heads + 1) * heads
        raise ConfigError(f"width is a multiple of heads ({heads}), found {width}. Take {above}.")
