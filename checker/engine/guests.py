"""What a lab's guests are made of: [guest] of lab.toml, refused where a kernel cannot do it."""

from __future__ import annotations

from pathlib import Path

from checker.errors import InputError, LabError
from checker.kit import topology
from checker.model import Lab
from vm import image, kernel
from vm.errors import NoDriver, NoPackage
from vm.kernel import Kernel
from vm.machine import Accel, Config

_OTHER_KERNEL = "Take another kernel: --kernel stock, --kernel debug, or --release"


def drivers(lab: Lab, on: Kernel) -> tuple[Path, ...]:
    """Return the files of the lab's drivers for the kernel *on*.

    Raises InputError where that kernel has not what the lab needs.
    """
    if lacking := [option for option in lab.guest.needs if not on.has(option)]:
        raise InputError(
            f"The lab {lab.name} cannot be run on the {on.name} kernel {on.release}: it was built "
            f"without {', '.join(lacking)}, which guest.needs of {lab.root / 'lab.toml'} asks for. "
            f"{_OTHER_KERNEL}."
        )
    try:
        return kernel.drivers(on, lab.guest.drivers)
    except NoDriver as error:
        raise InputError(
            f"The lab {lab.name} cannot be run here. {error} It is one of guest.drivers of "
            f"{lab.root / 'lab.toml'}. {_OTHER_KERNEL}; if the driver has another name there, "
            "correct it in lab.toml."
        ) from error


def config(lab: Lab, on: Kernel, *, accel: Accel = "tcg", real_time: bool = False) -> Config:
    """Return the machine of the lab's guests on the kernel *on*, with nothing at /lab yet.

    Raises InputError where that kernel has not what the lab needs, LabError for packages that
    cannot be had and a topology that nobody knows.
    """
    asked = lab.guest
    if asked.topology and asked.topology not in topology.STANDING:
        raise LabError(
            f"{lab.root / 'lab.toml'}: guest.topology is {asked.topology!r}, which is none of "
            f"{', '.join(topology.STANDING)}."
        )
    more = drivers(lab, on)
    try:
        root = image.root(asked.packages)
    except NoPackage as error:
        raise LabError(
            f"{lab.root / 'lab.toml'}: guest.packages has {error.package}, which no guest can be "
            f"given: {error}"
        ) from error
    return Config(
        on,
        image.initramfs(on, more, topology.setup(asked.topology)),
        root,
        accel=accel,
        real_time=real_time,
        topology=asked.topology,
    )
