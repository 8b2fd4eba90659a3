"""torchvision's ResNet-18, without torchvision, which takes as long to import as PyTorch itself."""

import torch
from torch import nn


class BasicBlock(nn.Module):
    """Two convolutions of 3 x 3 beside a shortcut: (B, channels, h, w)  ->  (B, planes, h / stride, w / stride).

    >>> BasicBlock(4, 8, stride=2)(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """

    def __init__(self, channels: int, planes: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if channels != planes:
            shortcut = nn.Conv2d(channels, planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(planes))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return self.relu(x)


class ResNet(nn.Module):
    """ResNet-18 (He et al., 2016) for the 1000 classes of ImageNet: the layers' names, order and random numbers are
    torchvision's, so its weights fit, and a seed gives the same network. Pixels (B, 3, S, S)  ->  logits (B, 1000).

    >>> ResNet().eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 1000])
    """

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for i, (channels, planes) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), 1):
            first = BasicBlock(channels, planes, stride=planes // channels)
            self.add_module(f"layer{i}", nn.Sequential(first, BasicBlock(planes, planes, stride=1)))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, 1000)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))
