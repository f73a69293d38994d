"""A guest kernel under QEMU. This package knows nothing of labs, points or grades."""
