"""Names of networks of other libraries: what is told of them, listed, and refused, before Keras is imported.

Covers: catalogue/foreign.py
"""

import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import catalogue, flags
from mpl_tf.settings.catalogue import FOREIGN
from mpl_tf.settings.catalogue.foreign import PATTERNS, expanded
from tests.settings.test_misspelt import refused

OWN = ["--dataset=folder", "--labeled_dir=/", "--unlabeled_dir=/", "--test_dir=/"]


def test_a_pattern_stands_for_its_names():
    assert expanded("a{b,c}d{,_e}") == ["abd", "abd_e", "acd", "acd_e"]
    assert expanded("plain") == ["plain"]
    names = [f"{library}:{name}" for library, rows in PATTERNS.items() for row in rows for name in expanded(row)]
    assert list(FOREIGN) == names and len(set(names)) == len(names)


def test_rows_say_where_weights_are():
    assert FOREIGN["keras:VGG16"].pretrained == "VGG16"
    pretrained = {
        name: FOREIGN[f"keras_cv:{name}"].pretrained for name in ("resnet50", "resnet50_imagenet", "resnet18")
    }
    assert pretrained == {"resnet50": "resnet50_imagenet", "resnet50_imagenet": "resnet50_imagenet", "resnet18": ""}
    assert not FOREIGN["keras_cv:yolo_v8_s_backbone_coco"].pretrained  # COCO's are not ImageNet's.
    assert FOREIGN["keras:Xception"].smallest == 71 and not FOREIGN["keras:Xception"].refusal((71, 71, 3))


def test_misspelt_names_are_one_line_with_the_nearest_before_keras_is_imported():
    given = ["keras:EfficientNetV2B9", "keras:convnexttiny", "keras_cv:resnet_50", "keras:wxyz", "ConvNeXtTiny"]
    lines, modules = refused(*(["--dataset=digits_50", f"--model={name}"] for name in given))
    assert not {"tensorflow", "keras", "numpy"} & set(modules)
    assert lines[0] == (
        "mpl_tf: error: --model: expected a network of keras.applications, got keras:EfficientNetV2B9; near are "
        "keras:EfficientNetV2B3, keras:EfficientNetV2B2, keras:EfficientNetV2B1"
    )
    assert "; near are keras:ConvNeXtTiny" in lines[1]
    assert "expected a backbone preset of KerasCV, got keras_cv:resnet_50; near are keras_cv:resnet50" in lines[2]
    assert "got keras:wxyz; there are ConvNeXt{Tiny,Small,Base,Large,XLarge}, DenseNet{121,169,201}," in lines[3]
    assert lines[4].endswith("keras:NAME or keras_cv:PRESET, got 'ConvNeXtTiny'; did you mean keras:ConvNeXtTiny?")


def test_what_does_not_go_together_is_one_line_each():
    lines, _ = refused(
        ["--dataset=digits_50", "--teacher_model=keras:VGG16"],
        [*OWN, "--model=cnn13", "--teacher_model=small_cnn", "--pretrained=imagenet"],
        [*OWN, "--model=keras_cv:resnet18", "--pretrained=imagenet"],
        [*OWN, "--model=efficientnet_lite0", "--teacher_model=fast_resnet"],
    )
    ends = [
        "--teacher_model: keras:VGG16 takes images of at least 32 x 32 pixels, the data set has examples of shape",
        "efficientnet_b7, keras:NAME and presets of KerasCV that have such weights, got cnn13 and small_cnn",
        "keras:NAME and presets of KerasCV that have such weights, got keras_cv:resnet18",
        "--teacher_model: fast_resnet and --model=efficientnet_lite0 are made for different inputs",
    ]
    for line, expected in zip(lines, ends, strict=True):
        assert expected in line


def test_any_network_stands_beside_one_of_a_library():
    for model, teacher, own in (
        ("keras:VGG16", "keras_cv:resnet18", None),
        ("keras:VGG16", "efficientnet_lite0", "efficientnet_lite0"),
        ("fast_resnet", "keras:VGG16", "fast_resnet"),
        ("fast_resnet", "", "fast_resnet"),
    ):
        config = flags.parse([*OWN, f"--model={model}", f"--teacher_model={teacher}", "--image_size=32"])
        found = catalogue.inputs(config)
        assert (found and found.name) == own
    # One has weights to be downloaded: the other starts anew.
    assert flags.parse([*OWN, "--model=cnn13", "--teacher_model=keras:VGG16", "--pretrained=imagenet"])


def test_help_lists_the_families_and_a_row_is_found_by_its_name(capsys):
    with pytest.raises(SystemExit):
        flags.parse(["--help"])
    told = capsys.readouterr().out
    assert (
        told.count("keras:EfficientNetV2{B0,B1,B2,B3,S,M,L}: a network of keras.applications, 32 pixels or more") == 1
    )
    assert told.count("keras_cv:resnet{18,34,50,101,152}_v2: a backbone preset of KerasCV") == 1
    assert catalogue.network("keras:VGG16") is FOREIGN["keras:VGG16"]
    with pytest.raises(UsageError, match="^--teacher_model: expected a network of keras.applications, got keras:VGG1"):
        catalogue.network("keras:VGG1", "teacher_model")
