"""The lab's own program in the guest: its connections do not stand in each other's way."""

from __future__ import annotations

import pytest

from checker.engine import grading
from checker.model import Lab
from vm import snapshot
from vm.kernel import Kernel


@pytest.mark.vm
def test_port_of_an_earlier_connection_can_be_had_again(lab: Lab, stock_kernel: Kernel) -> None:
    """A connection that is in TIME_WAIT keeps no later check from its port."""
    with snapshot.guest(grading.machine(lab, stock_kernel), {}) as guest:
        for port in ("22000", "22001"):
            route = ["127.0.0.1", "21000", "127.3.3.3", port]
            sent = guest.run(["/lab/checks/probe", "connect", *route, "hello"])
            assert (sent.text, sent.err) == ("hello", b"")
