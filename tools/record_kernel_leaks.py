"""Record what the kernel itself loses when an allocation fails inside a function of its own.

    python -m tools.record_kernel_leaks

Each case below is a module that calls such a function right, and undoes it where something
fails. Whatever is left all the same, with every allocation failing in turn, is the kernel's. It
is tried on each debug kernel in the cache, and printed as the rows of
checker/engine/kernel_leaks.toml: compare them with those that are there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from checker import lab as labs
from checker.engine import build, endurance, grading, left, submission
from checker.engine.testbed import Module, Testbed
from checker.model import Build, Lab
from checker.words import kernel_log
from vm import kernel as kernels
from vm.kernel import Kernel

SOURCE = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/in.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <net/sock.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define make_class() class_create(THIS_MODULE, "tried")
#else
#define make_class() class_create("tried")
#endif

%(global)s

static int __init tried_init(void)
{
	%(do)s
}

static void __exit tried_exit(void)
{
	%(undo)s
}

module_init(tried_init);
module_exit(tried_exit);

MODULE_DESCRIPTION("Calls a function of the kernel and undoes it");
MODULE_LICENSE("GPL");
"""

CASES: dict[str, tuple[str, str, str]] = {
    "class_create": (
        "static struct class *thing;",
        "thing = make_class();\n\treturn PTR_ERR_OR_ZERO(thing);",
        "class_destroy(thing);",
    ),
    "device_create": (
        "static struct class *thing;",
        "struct device *device;\n\n\tthing = make_class();\n\tif (IS_ERR(thing))\n"
        "\t\treturn PTR_ERR(thing);\n"
        '\tdevice = device_create(thing, NULL, MKDEV(42, 0), NULL, "tried");\n'
        "\tif (IS_ERR(device))\n\t\tclass_destroy(thing);\n\treturn PTR_ERR_OR_ZERO(device);",
        "device_destroy(thing, MKDEV(42, 0));\n\tclass_destroy(thing);",
    ),
    "misc_register": (
        "static const struct file_operations operations = { .owner = THIS_MODULE };\n"
        "static struct miscdevice thing = {\n\t.minor = MISC_DYNAMIC_MINOR, "
        '.name = "tried", .fops = &operations };',
        "return misc_register(&thing);",
        "misc_deregister(&thing);",
    ),
    "proc_mkdir": (
        "static struct proc_dir_entry *thing;",
        'thing = proc_mkdir("tried", NULL);\n\treturn thing ? 0 : -ENOMEM;',
        "proc_remove(thing);",
    ),
    "debugfs_create_dir": (
        "static struct dentry *thing;",
        'thing = debugfs_create_dir("tried", NULL);\n\treturn PTR_ERR_OR_ZERO(thing);',
        "debugfs_remove(thing);",
    ),
    "kobject_create_and_add": (
        "static struct kobject *thing;",
        'thing = kobject_create_and_add("tried", NULL);\n\treturn thing ? 0 : -ENOMEM;',
        "kobject_put(thing);",
    ),
    "kmem_cache_create": (
        "static struct kmem_cache *thing;",
        'thing = kmem_cache_create("tried", 100, 0, 0, NULL);\n\treturn thing ? 0 : -ENOMEM;',
        "kmem_cache_destroy(thing);",
    ),
    "alloc_workqueue": (
        "static struct workqueue_struct *thing;",
        'thing = alloc_workqueue("tried", 0, 0);\n\treturn thing ? 0 : -ENOMEM;',
        "destroy_workqueue(thing);",
    ),
    "kthread_run": (
        "static struct task_struct *thing;\nstatic int run(void *unused)\n{\n"
        "\twhile (!kthread_should_stop())\n\t\tschedule_timeout_interruptible(HZ);\n"
        "\treturn 0;\n}",
        'thing = kthread_run(run, NULL, "tried");\n\treturn PTR_ERR_OR_ZERO(thing);',
        "kthread_stop(thing);",
    ),
    "alloc_chrdev_region": (
        "static dev_t thing;",
        'return alloc_chrdev_region(&thing, 0, 1, "tried");',
        "unregister_chrdev_region(thing, 1);",
    ),
    "sock_create_kern": (
        "static struct socket *thing;",
        "return sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP, &thing);",
        "sock_release(thing);",
    ),
}
"""Case -> globals, the body of init, the body of exit."""

MODULE = "udp_sock"
"""The module of the networking lab whose place the cases take."""


def lost(lab: Lab, kernel: Kernel, case: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the calls of *case* in which an allocation failed, and a stack of what was left."""
    parts = dict(zip(("global", "do", "undo"), CASES[case], strict=True))
    target = lab.target(MODULE)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(lab.solution, folder, dirs_exist_ok=True)
        (Path(folder) / target.files[0]).write_text(SOURCE % parts)
        given = submission.read(lab, Path(folder))
        made = build.build_module(lab, target, given, kernel)
    if made.ko is None:
        raise SystemExit(f"{case} does not compile: {made.message}\n{made.output}")
    exercise = next(e for e in lab.exercises if MODULE in e.builds)
    testbed = Testbed(lab, exercise, Build(targets=(made,)), grading.machine(lab, kernel))
    try:
        module = testbed.session()
        assert isinstance(module, Module)
        seen = [_once(module) for _ in range(2)]  # once may be a cache that filled itself
        yield from sorted(seen[0] & seen[1])
    finally:
        testbed.spoil()


def _once(module: Module) -> set[tuple[str, tuple[str, ...]]]:
    mark = len(module.console())
    rounds = endurance._rounds(module, endurance.MAX_FAILURES, "f")[1:]
    struck = kernel_log.injected(module.console()[mark:], module.name)
    return {
        (called[0], left.inside(stack, called[0]))
        for one, called in zip(rounds, struck, strict=False)
        if not one.left
        for stack in one.stacks
        if left.leaks_of(module, [stack])
    }


def main() -> None:
    """Print the rows of all debug kernels that are at hand."""
    lab = labs.load("networking")
    rows: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for kernel in kernels.at_hand():
        if "FAILSLAB" not in kernel.features:
            continue
        series = ".".join(kernel.release.split(".")[:2])
        print(f"# tried on {kernel.release}: {', '.join(CASES)}")
        for case in CASES:
            for row in lost(lab, kernel, case):
                rows.setdefault(row, {})[series] = None
    for (called, stack), found in rows.items():
        told = ", ".join(f'"{one}"' for one in found)
        print(f'\n[[lost]]\nin = "{called}"\nstack = "{" ".join(stack)}"\nkernels = [{told}]')


if __name__ == "__main__":
    main()
