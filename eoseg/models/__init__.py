"""Networks: raw pixel values in, logits out. Adding a model is one function and one entry of `MODELS`."""

from eoseg.models.architectures import deeplabv3plus, fcn, segformer, unet, upernet
from eoseg.models.autoencoder import autoencoder
from eoseg.models.build import build_from_recipe, build_network, network_config
from eoseg.models.change import changevit, fc_ef, fc_siam_conc, fc_siam_diff
from eoseg.models.change_baselines import change_vector_analysis, image_differencing
from eoseg.models.change_post import post_classification
from eoseg.models.classical import CHIP_MODELS, PIXEL_MODELS, SERIES_MODELS
from eoseg.models.classifiers import (
    alexnet,
    encoder_classifier,
    googlenet,
    lenet5,
    resnet,
    timm_model,
    vgg,
    vit,
)
from eoseg.models.dimensions import Dimensions
from eoseg.models.fitted import FittedBody
from eoseg.models.network import Kind, Network
from eoseg.models.normalize import Normalize
from eoseg.models.pixelwise import (
    chip_mlp,
    chip_perceptron,
    chip_softmax_regression,
    mlp,
    perceptron,
    softmax_regression,
)
from eoseg.models.plain_unet import plain_unet
from eoseg.models.registry import MODELS
from eoseg.models.series import lstm, ltae, tempcnn, transformer
from eoseg.models.series_dense import convlstm, utae

__all__ = [
    "MODELS",
    "Dimensions",
    "FittedBody",
    "Kind",
    "Network",
    "Normalize",
    "build_from_recipe",
    "build_network",
    "network_config",
]

MODELS |= {
    "segmentation": {
        "unet": unet,
        "plain_unet": plain_unet,
        "fcn": fcn,
        "deeplabv3plus": deeplabv3plus,
        "upernet": upernet,
        "segformer": segformer,
        "perceptron": perceptron,
        "softmax_regression": softmax_regression,
        "mlp": mlp,
        **PIXEL_MODELS,
    },
    "classification": {
        "encoder": encoder_classifier,
        "lenet5": lenet5,
        "alexnet": alexnet,
        "vgg": vgg,
        "googlenet": googlenet,
        "resnet": resnet,
        "vit": vit,
        "timm": timm_model,
        "perceptron": chip_perceptron,
        "softmax_regression": chip_softmax_regression,
        "mlp": chip_mlp,
        **CHIP_MODELS,
    },
    "change": {
        "fc_ef": fc_ef,
        "fc_siam_conc": fc_siam_conc,
        "fc_siam_diff": fc_siam_diff,
        "changevit": changevit,
        "image_differencing": image_differencing,
        "change_vector_analysis": change_vector_analysis,
        "post_classification": post_classification,
    },
    "series": {
        "lstm": lstm,
        "tempcnn": tempcnn,
        "ltae": ltae,
        "transformer": transformer,
        "convlstm": convlstm,
        "utae": utae,
        **SERIES_MODELS,
    },
    "pretraining": {"autoencoder": autoencoder},
}
