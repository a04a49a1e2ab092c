"""The data sets. A new one of TensorFlow Datasets: its row here and flags/NAME.flags with its number of labels.

One of another kind has a file in mpl_tf/data/ too.
"""

from mpl_tf.settings.catalogue.rows import DataRow, TfdsSplits, table

# Of each channel of ImageNet's training images. Own images are scaled by them too: nobody need measure theirs.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_HELD_OUT = 5000  # 45,000 for training, 5,000 kept for tuning (Oliver et al. 2018, paper section 3.2).
STANDARD = {"path": "mpl_tf.data.standard:load", "test_path": "mpl_tf.data.standard:load_test"}
IMAGENET_TEST = "mpl_tf.data.imagenet:load_test"

DATASETS = table(
    DataRow(
        "two_moons",
        help="2,000 generated points in two half moons",
        path="mpl_tf.data.two_moons:load",
        shape=(2,),
        classes=2,
    ),
    DataRow(
        "digits_50",
        help="scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, 50 labeled; nothing is downloaded",
        path="mpl_tf.data.digits:load",
        validation=True,
        shape=(8, 8, 3),
        classes=10,
        fill=0,
    ),
    DataRow(
        "cifar10_4k",
        help="CIFAR-10, 4,000 labeled",
        **STANDARD,
        shape=(32, 32, 3),
        classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        flip=True,
        tfds=TfdsSplits("cifar10", held_out=CIFAR_HELD_OUT),
    ),
    DataRow(
        "cifar100_10k",
        help="CIFAR-100, 10,000 labeled",
        **STANDARD,
        shape=(32, 32, 3),
        classes=100,
        mean=(0.5071, 0.4867, 0.4408),
        std=(0.2675, 0.2565, 0.2761),
        flip=True,
        tfds=TfdsSplits("cifar100", held_out=CIFAR_HELD_OUT),
    ),
    DataRow(
        "svhn_1k",
        help="SVHN, house numbers, 1,000 labeled",
        **STANDARD,
        shape=(32, 32, 3),
        classes=10,
        mean=(0.4376821, 0.4437697, 0.47280442),
        std=(0.19803012, 0.20101562, 0.19703614),
        tfds=TfdsSplits("svhn_cropped", extra="extra"),
    ),
    DataRow(
        "stl10_1k",
        help="STL-10 of 96 x 96 pixels, 1,000 labeled",
        **STANDARD,
        shape=(96, 96, 3),
        classes=10,
        mean=(0.4467, 0.4398, 0.4066),
        std=(0.2603, 0.2566, 0.2713),
        flip=True,
        tfds=TfdsSplits("stl10", extra="unlabelled"),
    ),
    DataRow(
        "eurosat",
        help="EuroSAT, land use from Sentinel-2, 64 x 64 pixels, 1,000 labeled",
        **STANDARD,
        shape=(64, 64, 3),
        classes=10,
        mean=(0.344, 0.380, 0.408),
        std=(0.203, 0.137, 0.115),
        flip=True,
        tfds=TfdsSplits("eurosat/rgb", test=""),
    ),
    DataRow(
        "folder",
        help="own images: --labeled_dir, --unlabeled_dir, --validation_dir, --test_dir",
        path="mpl_tf.data.folder:load",
        test_path="mpl_tf.data.folder:load_test",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        flip=None,
        folders=("labeled_dir", "unlabeled_dir", "validation_dir", "test_dir"),
        optional=("validation_dir",),
    ),
    DataRow(
        "imagenet_10",
        help="ImageNet, a tenth of it labeled",
        path="mpl_tf.data.imagenet:load_10",
        test_path=IMAGENET_TEST,
        classes=1000,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        flip=True,
        folders=("labeled_dir",),
        optional=("labeled_dir",),
        streamed=True,
    ),
    DataRow(
        "imagenet",
        help="ImageNet, all of it labeled",
        path="mpl_tf.data.imagenet:load_whole",
        test_path=IMAGENET_TEST,
        classes=1000,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        flip=True,
        streamed=True,
    ),
    DataRow(
        "imagenet_jft",
        help="ImageNet labeled, the images of --unlabeled_dir unlabeled",
        path="mpl_tf.data.imagenet:load_jft",
        test_path=IMAGENET_TEST,
        classes=1000,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        flip=True,
        folders=("unlabeled_dir",),
        streamed=True,
        validation=True,
    ),
)
