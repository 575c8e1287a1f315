"""The segmentation models: each is one function and one entry of `eoseg.models.MODELS`.

A function takes what the data fix, then its own options as keyword-only arguments with plain defaults;
those are what a configuration may set. It returns a module that maps `(B, C, H, W)` to `(B, K, H, W)` and
that, or whose `encoder`, has an `output_stride`, with random weights: `eoseg.models.weights` fills the
encoder afterwards. `encoder` is any name of `eoseg.models.encoders.resolve_encoder`.
"""

from collections.abc import Sequence
from typing import cast

from torch import nn

from eoseg.models.dimensions import Dimensions
from eoseg.models.encoders import encoder_args, make_encoder
from eoseg.models.fcn import FCN, PYRAMID_DEPTH
from eoseg.models.options import require_one_of, require_share, require_whole


def unet(
    dims: Dimensions,
    *,
    encoder: str = "resnet18",
    depth: int = 5,
    channels: int = 16,
    interpolation: str = "nearest",
) -> nn.Module:
    """U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597). Exactly tileable.

    Args:
        encoder: Any name of `eoseg.models.encoders.resolve_encoder`.
        depth: Number of halvings, 3 to 5. Fewer make the output stride and the halo smaller.
        channels: Channels of the decoder at full resolution; doubled at each halving.
        interpolation: How the decoder upsamples: "nearest" or "bilinear".
    """
    import segmentation_models_pytorch as smp

    require_whole("depth", depth, 3, 5)
    require_whole("channels", channels, 1)
    require_one_of("interpolation", interpolation, ("nearest", "bilinear"))
    model = smp.Unet(
        encoder,
        encoder_depth=depth,
        encoder_weights=None,
        decoder_channels=[channels * 2**level for level in reversed(range(depth))],
        decoder_interpolation=interpolation,
        in_channels=dims.channels,
        classes=dims.classes,
        **encoder_args(encoder),
    )
    return cast(nn.Module, model)


def fcn(
    dims: Dimensions,
    *,
    encoder: str = "resnet18",
    stride: int = 8,
    channels: int = 256,
    dropout: float = 0.1,
) -> nn.Module:
    """FCN-8s, -16s or -32s (Long et al. 2015, https://arxiv.org/abs/1411.4038). Exactly tileable.

    Args:
        encoder: Any name of `eoseg.models.encoders.resolve_encoder`.
        stride: Finest features that are fused, in pixels: 8, 16 or 32.
        channels: Channels of the convolution before the coarsest scores (4096 in the paper's VGG).
        dropout: Share of these that is dropped in training, 0 to below 1.
    """
    require_one_of("stride", stride, (8, 16, 32))
    require_whole("channels", channels, 1)
    require_share("dropout", dropout)
    pyramid = make_encoder(encoder, dims.channels, depth=PYRAMID_DEPTH)
    sizes = [int(size) for size in cast(Sequence[int], pyramid.out_channels)]
    return FCN(pyramid, sizes, dims.classes, stride=stride, channels=channels, dropout=dropout)


def deeplabv3plus(
    dims: Dimensions,
    *,
    encoder: str = "resnet18",
    stride: int = 16,
    channels: int = 256,
    rate: int = 6,
    dropout: float = 0.5,
) -> nn.Module:
    """DeepLabV3+ (Chen et al. 2018, https://arxiv.org/abs/1802.02611). Pools over the whole image.

    Args:
        encoder: Any name of `eoseg.models.encoders.resolve_encoder`.
        stride: Of the encoder's last features, in pixels: 8 or 16.
        channels: Channels of the decoder.
        rate: First dilation rate; the others are twice and three times that. The paper takes 6 for
            stride 16 and 12 for stride 8.
        dropout: Share of the pooled pyramid that is dropped in training, 0 to below 1.
    """
    import segmentation_models_pytorch as smp

    require_one_of("stride", stride, (8, 16))
    require_whole("channels", channels, 1)
    require_whole("rate", rate, 1)
    require_share("dropout", dropout)
    model = smp.DeepLabV3Plus(
        encoder,
        encoder_weights=None,
        encoder_output_stride=stride,
        decoder_channels=channels,
        decoder_atrous_rates=(rate, 2 * rate, 3 * rate),
        decoder_aspp_dropout=dropout,
        in_channels=dims.channels,
        classes=dims.classes,
        **encoder_args(encoder),
    )
    return _anchored(model)


def upernet(dims: Dimensions, *, encoder: str = "resnet18", depth: int = 5, channels: int = 256) -> nn.Module:
    """UPerNet (Xiao et al. 2018, https://arxiv.org/abs/1807.10221). Pools over the whole image.

    Args:
        encoder: Any name of `eoseg.models.encoders.resolve_encoder`.
        depth: Number of halvings, 3 to 5.
        channels: Channels of the decoder.
    """
    import segmentation_models_pytorch as smp

    require_whole("depth", depth, 3, 5)
    require_whole("channels", channels, 1)
    model = smp.UPerNet(
        encoder,
        encoder_depth=depth,
        encoder_weights=None,
        decoder_channels=channels,
        in_channels=dims.channels,
        classes=dims.classes,
        **encoder_args(encoder),
    )
    return _anchored(model)


def segformer(
    dims: Dimensions, *, encoder: str = "resnet18", depth: int = 5, channels: int = 256
) -> nn.Module:
    """SegFormer (Xie et al. 2021, https://arxiv.org/abs/2105.15203), made for the encoders mit_b0 to mit_b5.

    These attend to the whole image; over a convolutional encoder the model is exactly tileable.

    Args:
        encoder: Any name of `eoseg.models.encoders.resolve_encoder`.
        depth: Number of halvings, 3 to 5.
        channels: Channels of the decoder.
    """
    import segmentation_models_pytorch as smp

    require_whole("depth", depth, 3, 5)
    require_whole("channels", channels, 1)
    model = smp.Segformer(
        encoder,
        encoder_depth=depth,
        encoder_weights=None,
        decoder_segmentation_channels=channels,
        in_channels=dims.channels,
        classes=dims.classes,
        **encoder_args(encoder),
    )
    return _anchored(model)


def _anchored(model: nn.Module) -> nn.Module:
    """Upsample with fixed pixel centres.

    smp upsamples logits with `align_corners=True`, which stretches the coarse grid from corner to
    corner: logits end up to 1.5 pixels beside the pixels they belong to, depending on the image's size.
    """
    for module in model.modules():
        if isinstance(module, nn.Upsample) and module.align_corners:
            module.align_corners = False
    return model
