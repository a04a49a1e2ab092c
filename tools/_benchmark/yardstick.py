"""What our step is compared with: one whole MPL step of WideResNet-28-2 in plain PyTorch, on random images.

Needs the extra [yardstick]. The work is that of methods/mpl.py with its defaults, `--what=step --dataset=cifar10_4k`,
written as a user of PyTorch would write it, without a compiler: the teacher passes labeled, weak and strong views
together and learns from labels, UDA and feedback; the student passes the strong views and learns from sampled labels;
the feedback is the fall of the student's labeled loss over its step; both have SGD with Nesterov momentum, the student
an average of its weights. Two differences that cost nothing: images are padded alike on all sides, and the student's
moving statistics follow its labeled passes too.
"""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional
from torch.optim import swa_utils

SIDE, CLASSES = 32, 10  # Of CIFAR-10's images and labels.
WIDTHS, BLOCKS = (32, 64, 128), 4  # 16 k, 32 k and 64 k channels for k = 2; blocks of each width.
LEAK, NORM = 0.2, {"eps": 1e-3, "momentum": 0.01}  # As models/wide_resnet.py has them; PyTorch's momentum is 1 - decay.
# Form: memory layout and type of the convolutions. The first is PyTorch's own, the second its fastest on CPUs.
FORMS = {
    "float32": (torch.contiguous_format, torch.float32),
    "channels_last_bfloat16": (torch.channels_last, torch.bfloat16),
}


def measure(config, repeats, warmup):
    """Time the step in each form, one after the other.

    Args:
        config: Config; its batch, losses and optimizers are those of the step.
        repeats, warmup: steps timed, steps before.
    Returns:
        dict: FORM_seconds_per_step of each form (medians), and of the fastest one seconds_per_step and
        images_per_second, as `measure.step` counts images.
    """
    seconds = {}
    for form in FORMS:
        step = Step(config, form)
        for _ in range(warmup):
            step()
        seconds[form] = statistics.median(_seconds(step) for _ in range(repeats))
    fastest = min(seconds.values())
    images = config.labeled_batch * (1 + config.mu)
    figures = {f"{form}_seconds_per_step": value for form, value in seconds.items()}
    return figures | {"seconds_per_step": fastest, "images_per_second": images / fastest}


def _seconds(step):
    """Wall time of one call; on a CPU a step is done when its call returns."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


class Block(nn.Module):
    """A pre-activation residual block: [B, channels, H, W] -> [B, width, H / stride, W / stride]."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.norm_1, self.norm_2 = nn.BatchNorm2d(channels, **NORM), nn.BatchNorm2d(width, **NORM)
        self.conv_1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        changes = channels != width or stride > 1
        self.projection = nn.Conv2d(channels, width, 1, stride, bias=False) if changes else None

    def forward(self, x):
        """The sum of the shortcut and the residual branch."""
        activated = functional.leaky_relu(self.norm_1(x), LEAK)
        shortcut = x if self.projection is None else self.projection(activated)
        y = self.conv_1(activated)
        return shortcut + self.conv_2(functional.leaky_relu(self.norm_2(y), LEAK))


class WideResNet(nn.Module):
    """WideResNet-28-2 as models/wide_resnet.py builds it: float32 [B, 3, 32, 32] -> logits [B, 10]."""

    def __init__(self, dropout):
        super().__init__()
        blocks, channels = [], WIDTHS[0]
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        for group, width in enumerate(WIDTHS):
            for index in range(BLOCKS):
                blocks.append(Block(channels, width, stride=2 if group and not index else 1))
                channels = width
        self.blocks, self.norm = nn.Sequential(*blocks), nn.BatchNorm2d(channels, **NORM)
        self.dropout, self.classifier = nn.Dropout(dropout), nn.Linear(channels, CLASSES)

    def forward(self, x):
        """Logits of a batch."""
        x = functional.leaky_relu(self.norm(self.blocks(self.stem(x))), LEAK)
        return self.classifier(self.dropout(x.mean(dim=(2, 3))))


class Step:
    """Both networks, their optimizers and one batch; a call makes one step of both.

    Args:
        config: Config, for the sizes of the batch, the losses and the optimizers.
        form: of FORMS.
    """

    def __init__(self, config, form):
        torch.manual_seed(config.seed)
        self.config, (layout, self.type) = config, FORMS[form]
        self.teacher, self.student = (WideResNet(config.dropout).to(memory_format=layout) for _ in range(2))
        self.average = swa_utils.AveragedModel(
            self.student, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(config.ema_decay), use_buffers=True
        )
        about = {"momentum": config.momentum, "nesterov": True, "weight_decay": config.weight_decay}
        self.teacher_optimizer = torch.optim.SGD(self.teacher.parameters(), config.teacher_learning_rate, **about)
        self.student_optimizer = torch.optim.SGD(self.student.parameters(), config.student_learning_rate, **about)
        count = config.labeled_batch
        self.sizes = (count, config.mu * count, config.mu * count)
        views = (torch.randn(size, 3, SIDE, SIDE) for size in self.sizes)
        self.x_l, self.x_w, self.x_s = (view.contiguous(memory_format=layout) for view in views)
        self.y_l = torch.randint(CLASSES, (count,))

    def __call__(self):
        """Make a step.

        Returns:
            dict of floats: student_loss, h (the feedback) and loss (the teacher's, all parts).
        """
        self.teacher_optimizer.zero_grad()
        self.student_optimizer.zero_grad()
        # The teacher passes all views at once and labels the strong ones.
        z_l, z_w, z_s = self._logits(self.teacher, torch.cat([self.x_l, self.x_w, self.x_s])).split(self.sizes)
        y_u = torch.multinomial(torch.softmax(z_s.detach(), dim=-1), 1)[:, 0]  # [mu b]
        # The student learns from these labels; the fall of its labeled loss is the feedback.
        before = self._labeled_loss()
        student_loss = self._cross_entropy(self._logits(self.student, self.x_s), y_u)
        student_loss.backward()
        self.student_optimizer.step()
        self.average.update_parameters(self.student)
        h = before - self._labeled_loss()
        # The teacher learns from the labels, from UDA and from the feedback.
        loss = self._cross_entropy(z_l, self.y_l) + self.config.uda_weight * self._uda(z_w, z_s)
        loss = loss + h * functional.cross_entropy(z_s, y_u)
        loss.backward()
        self.teacher_optimizer.step()
        return {"student_loss": student_loss.item(), "h": h.item(), "loss": loss.item()}

    def _logits(self, network, x):
        """float32 [B, 10]; the convolutions in the form's type."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.type == torch.bfloat16):
            return network(x).float()

    @torch.no_grad()
    def _labeled_loss(self):
        """The student's mean loss on the labeled images, in training mode as in feedback.taylor."""
        return functional.cross_entropy(self._logits(self.student, self.x_l), self.y_l)

    def _cross_entropy(self, z, y):
        return functional.cross_entropy(z, y, label_smoothing=self.config.label_smoothing)

    def _uda(self, z_w, z_s):
        """UDA's mean loss: the sharpened weak views teach the strong ones where they are sure, as losses.uda."""
        target = torch.softmax(z_w.detach() / self.config.uda_temperature, dim=-1)
        sure = target.amax(dim=-1) >= self.config.uda_threshold
        return (sure * functional.cross_entropy(z_s, target, reduction="none")).mean()
