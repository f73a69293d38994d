"""docs/reference/kernels.md: each row that a kernel can show is shown on the kernels at hand.

``pytest -m slow tests/vm/test_kernels_page.py`` is for all of them (KERNELS in tests/support.py).

A row's last cell names its test here without ``test_row_``, or says how else it was seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from kernel_facts import Seen, kept
from support import ROOT

from vm.kernel import Kernel

pytestmark = pytest.mark.vm

PAGE = ROOT / "docs/reference/kernels.md"
CONSOLES = ROOT / "tests/data/console"
ELSEWHERE = ("by hand", "in the source")
"""What stands for the test of a row that no guest shows at little cost."""


@pytest.fixture(scope="session")
def seen(at_hand: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What was seen of a kernel at hand, stock or debug."""
    return kept(at_hand, tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def stock(stock_at_hand: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What was seen of a stock kernel at hand: on 6.1's debug kernel answers come later."""
    return kept(stock_at_hand, tmp_path_factory.getbasetemp())


def rows() -> Iterator[list[str]]:
    """Yield the cells of each row of the page's tables, the headings left out."""
    for table in re.findall(r"^\|(?:.*\|\n)+", PAGE.read_text(), re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


# --- the page itself -----------------------------------------------------------------


def test_every_row_says_how_it_was_seen() -> None:
    """Each row names a test of this file, or says how else it was seen; each test has a row."""
    last = [row[-1] for row in rows()]
    named = [match[1] for cell in last if (match := re.fullmatch(r"`(\w+)`", cell))]
    tests = {n.removeprefix("test_row_") for n in globals() if n.startswith("test_row_")}
    assert sorted(named) == sorted(tests)
    assert {cell for cell in last if "`" not in cell} <= set(ELSEWHERE)


def test_every_row_of_a_change_says_when_it_came() -> None:
    """A row that tells 6.1, 6.12 and 7.2 apart has the release and the source of the change."""
    changes = [row for row in rows() if len(row) == 6]
    assert len(changes) > 30
    for row in changes:
        assert re.match(r"(after )?\d\.\d+|never|stable updates of|gcc \d+|Debian", row[4]), row


# --- calls ---------------------------------------------------------------------------


def test_row_bind_address(seen: Seen) -> None:
    """kernel_bind() and its like take a struct sockaddr * until 6.18; void * suits all."""
    new = seen.since(6, 19)
    calls = ("bind-sockaddr", "connect-sockaddr", "ops-bind-sockaddr", "ops-connect-sockaddr")
    assert seen.refuses(*calls) is new
    assert seen.refuses("bind-unsized") is not new
    assert not seen.refuses("bind-void")
    assert seen.refuses("bind-no-cast")


def test_row_name_address(seen: Seen) -> None:
    """kernel_getsockname() and kernel_getpeername() take a struct sockaddr * on all."""
    assert not seen.refuses("getsockname-sockaddr", "getpeername-sockaddr")
    assert seen.refuses("getsockname-unsized")
    assert seen.facts["getsockname"] == "16"


def test_row_accept_argument(seen: Seen) -> None:
    """ops->accept takes flags and kern until 6.9; kernel_accept() is the same on all."""
    assert seen.refuses("accept-flags") is seen.since(6, 10)
    assert seen.refuses("accept-argument") is not seen.since(6, 10)
    assert not seen.refuses("kernel-accept")


def test_row_timer_delete(seen: Seen) -> None:
    """del_timer() and del_timer_sync() are gone; the new names are there on all."""
    assert seen.refuses("del-timer", "del-timer-sync") is seen.since(6, 15)
    assert not seen.refuses("timer-delete-sync", "timer-shutdown-sync")


def test_row_timer_container(seen: Seen) -> None:
    """from_timer() is timer_container_of() now, and no name is known to all."""
    assert seen.refuses("from-timer") is seen.since(6, 16)
    assert seen.refuses("timer-container-of") is not seen.since(6, 16)


def test_row_hrtimer(seen: Seen) -> None:
    """hrtimer_init() is gone, hrtimer_setup() there instead."""
    assert seen.refuses("hrtimer-init") is seen.since(6, 15)
    assert seen.refuses("hrtimer-setup") is not seen.since(6, 13)


def test_row_class_create(seen: Seen) -> None:
    """class_create() loses its first argument."""
    assert seen.refuses("class-create-owner") is seen.since(6, 4)
    assert seen.refuses("class-create-name") is not seen.since(6, 4)


def test_row_devnode(seen: Seen) -> None:
    """The devnode callback of a class gets a const device."""
    assert seen.refuses("devnode") is seen.since(6, 2)
    assert seen.refuses("devnode-const") is not seen.since(6, 2)


def test_row_no_llseek(seen: Seen) -> None:
    """no_llseek is gone."""
    assert seen.refuses("no-llseek") is seen.since(6, 12)


def test_row_hook_initialiser(seen: Seen) -> None:
    """Nobody may fill in a struct nf_hook_ops by position, on any of them."""
    assert seen.refuses("hook-positional")
    assert not seen.refuses("hook-named")


def test_row_strlcpy(seen: Seen) -> None:
    """strlcpy() is gone."""
    assert seen.refuses("strlcpy") is seen.since(6, 8)


def test_row_strncpy(seen: Seen) -> None:
    """strncpy() is gone, too."""
    assert seen.refuses("strncpy") is seen.since(7, 2)


def test_row_strscpy(seen: Seen) -> None:
    """strscpy() without a size needs a newer kernel; with one it suits all."""
    assert seen.refuses("strscpy-2") is not seen.since(6, 9)
    assert not seen.refuses("strscpy-3")


def test_row_random_below(seen: Seen) -> None:
    """prandom_u32_max() is gone; get_random_u32_below() is there on all."""
    assert seen.refuses("prandom-u32-max") is seen.since(6, 2)
    assert not seen.refuses("random-below")


def test_row_sendpage(seen: Seen) -> None:
    """kernel_sendpage() is gone."""
    assert seen.refuses("kernel-sendpage") is seen.since(6, 5)


def test_row_sysctl_table(seen: Seen) -> None:
    """register_sysctl_table() is gone."""
    assert seen.refuses("sysctl-table") is seen.since(6, 5)


def test_row_sysctl_end(seen: Seen) -> None:
    """A table for register_sysctl() with an empty last element is refused."""
    new = seen.since(6, 11)
    assert seen.facts["sysctl_end"] == ("refused" if new else "registered")
    assert ("sysctl table check failed: net/(null) procname is null" in seen.log[""]) is new


def test_row_genl_userhdr(seen: Seen) -> None:
    """The header of a generic netlink request is had by a function."""
    assert seen.refuses("genl-userhdr", "genl-nlhdr-write") is seen.since(6, 6)
    assert seen.refuses("genl-info-userhdr") is not seen.since(6, 6)


def test_row_netlink_mutex(seen: Seen) -> None:
    """There is no cb_mutex in struct netlink_kernel_cfg any more."""
    assert seen.refuses("netlink-cb-mutex") is seen.since(6, 11)


def test_row_flow_dscp(seen: Seen) -> None:
    """There is a dscp in struct flowi4 where it had a tos."""
    assert seen.refuses("flow-tos") is seen.since(6, 18)
    assert seen.refuses("flow-dscp") is not seen.since(6, 18)


def test_row_protocol_calls(seen: Seen) -> None:
    """Three functions of struct proto have other arguments."""
    assert seen.refuses("proto-ioctl-long") is seen.since(6, 5)
    assert seen.refuses("proto-connect") is seen.since(6, 19)
    assert seen.refuses("proto-recvmsg-5") is seen.since(7, 1)


def test_row_vmalloc_header(seen: Seen) -> None:
    """vmalloc() is no longer declared by whatever else is included."""
    assert ("vmalloc" in seen.words["headers"]) is seen.since(6, 10)


def test_row_guard(seen: Seen) -> None:
    """guard() and __free() are there on all."""
    assert not seen.refuses("guard", "free")


def test_row_kmalloc_obj(seen: Seen) -> None:
    """kmalloc_obj() is there from 6.12's stable updates on."""
    assert seen.refuses("kmalloc-obj") is not seen.since(6, 12)


def test_row_percpu_queue(seen: Seen) -> None:
    """WQ_PERCPU and system_percpu_wq are there from 6.12's stable updates on."""
    assert seen.refuses("percpu-queue") is not seen.since(6, 12)


def test_row_gone_on_all(seen: Seen) -> None:
    """What old tutorials call is on none of them."""
    assert seen.refuses("set-fs", "gettimeofday", "init-timer", "nf-register-hook", "nipquad")
    assert seen.refuses("kernel-setsockopt", "proc-file-operations")
    assert not seen.refuses("proc-ops")


def test_row_base_full(stock: Seen) -> None:
    """CONFIG_BASE_FULL is gone."""
    assert stock.refuses("base-full") is stock.since(6, 10)


# --- the compiler and modpost --------------------------------------------------------


def test_row_char(seen: Seen) -> None:
    """A char has no sign on newer kernels."""
    assert seen.facts["char"] == ("unsigned" if seen.since(6, 2) else "signed")


def test_row_prototypes(seen: Seen) -> None:
    """A function without static and without a prototype is warned of."""
    assert (seen.compiled.get("prototype") == "warning") is seen.since(6, 8)


def test_row_pointer_as_int(seen: Seen) -> None:
    """The compilers of Debian 13 and later refuse what that of Debian 12 warns of."""
    how = "error" if seen.since(6, 12) else "warning"
    assert seen.compiled["int-from-pointer"] == how


def test_row_variable_array(seen: Seen) -> None:
    """An array of variable length is no longer warned of."""
    assert (seen.compiled.get("variable-array") == "warning") is not seen.since(7, 2)


def test_row_nested_struct(seen: Seen) -> None:
    """A struct within a struct may go without a name."""
    assert seen.refuses("nested") is not seen.since(6, 19)


def test_row_file_name(seen: Seen) -> None:
    """__FILE__ is the path below the module's folder."""
    assert seen.facts["file"] == ("facts.c" if seen.since(6, 13) else "/build/facts.c")


def test_row_member_overflow(stock: Seen) -> None:
    """A copy that the compiler sees to be too long for a member does not compile."""
    assert "__write_overflow" in stock.words["fortify"]


def test_row_description(seen: Seen) -> None:
    """A module without MODULE_DESCRIPTION is warned of."""
    warned = "missing MODULE_DESCRIPTION()" in seen.words["modpost"]
    assert warned is seen.since(6, 15)


def test_row_modpost(seen: Seen) -> None:
    """Modpost puts a function that the kernel lacks in other words."""
    new = seen.since(7, 3)
    said = seen.words["modpost"]
    assert ("nosuch.ko: symbol 'no_such_function' undefined!" in said) is new
    old = re.search(r'modpost: "no_such_function" \[\S*nosuch\.ko\] undefined!', said)
    assert (old is None) is new
    assert ("nolicense.ko: missing MODULE_LICENSE()" in said) is new


# --- what kernels say ----------------------------------------------------------------


def test_row_oops_line(stock: Seen) -> None:
    """The line of an oops gets a second word, and loses PREEMPT."""
    twice, preempt = stock.since(6, 10), not stock.since(6, 15)
    line = f"{'Oops: ' if twice else ''}Oops: 0002 [#1] {'PREEMPT ' if preempt else ''}SMP"
    assert re.search(rf"(?<!Oops: ){re.escape(line)}", stock.log["oops"])


def test_row_stack_overflow() -> None:
    """The line of an overrun stack is an oops from 6.10 on."""
    for series, line in (("6.1", "] "), ("6.12", "] Oops: "), ("7.2", "] Oops: ")):
        said = (CONSOLES / series / "stack-overflow.txt").read_text()
        assert f"{line}stack guard page: 0000 [#1]" in said, series


def test_row_warning_line(seen: Seen) -> None:
    """A warning's line has the place first on newer kernels."""
    new = r"WARNING: facts\.c:\d+ at facts_init\+0x.*, CPU#0: \w+/\d+"
    old = r"WARNING: CPU: 0 PID: \d+ at (/build/)?facts\.c:\d+ facts_init\+0x"
    assert re.search(new if seen.since(6, 19) else old, seen.log["warn"])


def test_row_init_value(seen: Seen) -> None:
    """A positive value of init is told in a line; the module stays loaded on all."""
    new = seen.since(7, 1)
    words = "facts: init" if new else "do_init_module: 'facts'->init"
    assert f"{words} suspiciously returned 1, it should follow" in seen.log["init-1"]
    assert ("Call Trace" in seen.log["init-1"]) is not new
    assert seen.guest["init-1 loaded"] == "1"


def test_row_init_exist(seen: Seen) -> None:
    """An init that returns -EEXIST is told as -EBUSY."""
    assert seen.status["exist"] == (16 if seen.since(7, 1) else 17)
    assert seen.guest["exist loaded"] == "0"


def test_row_fortify(stock: Seen) -> None:
    """A memset() too long is a BUG on all, with sizes in a warning before it on newer kernels."""
    said = stock.log["fortify"]
    sizes = r"memset: detected buffer overflow: 20 byte write of buffer size 1?\d"
    assert "kernel BUG at lib/string_helpers.c" in said
    assert (re.search(sizes, said) is not None) is stock.since(6, 9)
    assert ("WARNING: " in said) is stock.since(6, 9)


def test_row_double_free(stock: Seen) -> None:
    """Freeing twice stops the kernel, or is not noticed at all."""
    silent = stock.since(7, 0)
    assert (stock.status["free-twice"] == 125) is silent
    assert ("kernel BUG at mm/slub.c" in stock.log["free-twice"]) is not silent


def test_row_ubsan(stock: Seen) -> None:
    """An index or a shift that is too large is reported by newer stock kernels."""
    new = stock.since(7, 2)
    assert ("UBSAN: array-index-out-of-bounds in" in stock.log["bounds"]) is new
    assert ("UBSAN: shift-out-of-bounds in" in stock.log["shift"]) is new


def test_row_queue_words(seen: Seen) -> None:
    """alloc_workqueue() without a kind, and system_wq, are warned of."""
    new = seen.since(7, 2)
    assert ("is using neither WQ_PERCPU or WQ_UNBOUND" in seen.log[""]) is new
    assert ("enqueued on deprecated workqueue" in seen.log[""]) is new


def test_row_hung_owner() -> None:
    """A hung task's report names who holds the mutex."""
    for series in ("6.1", "6.12", "7.2"):
        said = (CONSOLES / series / "hung-mutex.txt").read_text()
        assert ("blocked on a mutex" in said) is (series == "7.2"), series


# --- what kernels do -----------------------------------------------------------------


def test_row_preemption(stock: Seen) -> None:
    """The kernel's own code is preempted at any place on newer kernels."""
    assert ("(lazy)" if stock.since(7, 0) else "(voluntary)") in stock.guest["preempt"]


def test_row_tap_without_device(seen: Seen) -> None:
    """An ETH_P_ALL handler without a device sees nothing on newer kernels; ETH_P_IP does."""
    new = seen.since(6, 15)
    assert seen.facts["tap_all_null"] == ("." if new else "4m0n.")
    assert ("at dev_add_pack+" in seen.log[""]) is new
    assert seen.facts["tap_ip_null"] == "0n."


def test_row_udplite(seen: Seen) -> None:
    """UDP-Lite is deprecated, then gone."""
    assert seen.facts["udplite"] == ("-93" if seen.since(7, 1) else "0")
    told = "UDP-Lite is deprecated" in seen.log[""]
    assert told is (seen.since(6, 5) and not seen.since(7, 1))


def test_row_connect_timeout(stock: Seen) -> None:
    """connect() to nobody who answers tries more often, and takes a little longer."""
    calls, low, high = (11, 132, 137) if stock.since(6, 5) else (7, 128, 132)
    found = re.fullmatch(r"-110 after (\d+) s and (\d+) calls", stock.facts["connect_dropped"])
    assert found
    assert int(found[2]) == calls
    assert low <= int(found[1]) <= high


def test_row_tot_len(seen: Seen) -> None:
    """A large TCP packet on lo has a tot_len of 0 at LOCAL_OUT."""
    tot_len, length = map(int, seen.facts["tot_len"].split(" of "))
    if seen.since(6, 3):
        assert tot_len == 0
        assert length > 65535
    else:
        assert tot_len == length == 65535


def test_row_datagrams_kept(stock: Seen) -> None:
    """Fewer datagrams of a byte fit into a socket that nobody reads."""
    kept_ones = int(stock.facts["datagrams_kept"].split()[0])
    assert kept_ones in ((237, 238) if stock.since(6, 3) else (278,))


def test_row_buffer_maximum(seen: Seen) -> None:
    """A program may ask for larger socket buffers."""
    assert seen.guest["rmem_max"] == ("4194304" if seen.since(6, 18) else "212992")


# --- the same on all, and easily guessed wrong ---------------------------------------


def test_row_hook_path(seen: Seen) -> None:
    """One datagram over lo passes four hooks, two as the sender and two in softirq."""
    assert seen.facts["hook_path"] == "OpPpRsIs"


def test_row_hook_order(seen: Seen) -> None:
    """Of two hooks with one priority that which was registered last is called first."""
    assert seen.facts["hook_same_priority"] == "2p1p"


def test_row_hook_twice(seen: Seen) -> None:
    """The same ops can be registered twice, and are called twice."""
    assert (seen.facts["hook_twice"], seen.facts["hook_twice_called"]) == ("0", "2")


def test_row_hook_number(seen: Seen) -> None:
    """A hook number that there is none of is refused with a warning."""
    assert seen.facts["hooknum_9"] == "-22"
    assert re.search(r"WARNING: .*\bnf_hook_entry_head\+", seen.log[""])


def test_row_local_out(seen: Seen) -> None:
    """At LOCAL_OUT there is no skb->dev, and the checksum of UDP is not whole."""
    assert seen.facts["local_out"] == "dev 0, out 1, ip checksum 1, udp checksum 0"


def test_row_drop(seen: Seen) -> None:
    """Who sends learns of a drop at LOCAL_OUT and POST_ROUTING alone."""
    drops = seen.facts["drop"].split("; ")
    assert [drop.partition(",")[0] for drop in drops] == [
        *("out sendmsg -1", "post sendmsg -1", "pre sendmsg 10", "in sendmsg 10")
    ]


def test_row_drop_error(seen: Seen) -> None:
    """NF_DROP_ERR() chooses the error."""
    assert seen.facts["drop_err"] == "sendmsg -113, recvmsg -11"


def test_row_drop_tap(seen: Seen) -> None:
    """A tap sees what is dropped on its way in, and not what is dropped on its way out."""
    sees = [drop[-1] for drop in seen.facts["drop"].split("; ")]
    assert sees == ["0", "0", "2", "2"]


def test_row_queue_nobody(seen: Seen) -> None:
    """NF_QUEUE with nobody there is a drop that the sender is not told of."""
    assert seen.facts["queue"] == "sendmsg 10, recvmsg -11"
    assert seen.facts["queue_bypass"] == "sendmsg 10, recvmsg 10"


def test_row_wrong_verdict(seen: Seen) -> None:
    """A verdict that there is none of is warned of, once, and the packet is lost."""
    assert seen.facts["verdict_77"] == "sendmsg 10, recvmsg -11"
    assert seen.facts["verdict_minus_1"] == "sendmsg 10, recvmsg -11"
    assert len(re.findall(r"WARNING: .*\bnf_hook_slow\+", seen.log[""])) == 1


def test_row_stolen(stock: Seen) -> None:
    """Stolen packets that nobody frees fill the sender's buffer."""
    found = re.fullmatch(r"-11 after (\d+)", stock.facts["stolen_out"])
    assert found
    assert 90 <= int(found[1]) <= 93


def test_row_tap_twice(seen: Seen) -> None:
    """An ETH_P_ALL handler on lo sees each packet twice, the first with its Ethernet header."""
    assert seen.facts["tap_all_lo"] == "4m0n"


def test_row_backlog(seen: Seen) -> None:
    """listen(5) has room for six."""
    assert seen.facts["listen_5"] == "111111222"


def test_row_self_connect(seen: Seen) -> None:
    """A socket can be connected to itself."""
    assert seen.facts["connect_self"] == "0 state 1"


def test_row_listener_left(seen: Seen) -> None:
    """A listener that a module forgets outlives it."""
    assert "127.0.0.1:7021" in seen.guest["listening"]
    assert "connects" in seen.guest["listening"]


def test_row_accept_killed(seen: Seen) -> None:
    """kernel_accept() in a killed insmod gives -512, and the module may stay."""
    assert seen.facts["accept_killed"] == "-512"
    assert "Live" in seen.guest["accept"]


def test_row_accept_error(seen: Seen) -> None:
    """kernel_accept() tells apart what does not listen and what has nobody."""
    assert (seen.facts["accept_no_listen"], seen.facts["accept_nobody"]) == ("-22", "-11")


def test_row_send_address(seen: Seen) -> None:
    """kernel_sendmsg() over UDP without an address, or with half of one."""
    assert (seen.facts["send_no_name"], seen.facts["send_namelen_0"]) == ("-89", "-22")
    assert (seen.facts["send_family_0"], seen.facts["send_family_6"]) == ("10", "-97")


def test_row_send_to_nobody(stock: Seen) -> None:
    """Over UDP every second send to a closed port fails."""
    assert stock.facts["send_nobody"] == "5 -111 5 -111"


def test_row_more_too_long(seen: Seen) -> None:
    """Pieces that are too long for a datagram are all lost."""
    assert seen.facts["more_too_much"] == "60000 -90 10, recvmsg 10"


def test_row_more_empty(seen: Seen) -> None:
    """A send of nothing sends the pieces that wait."""
    assert seen.facts["more_then_0"] == "7 0, recvmsg 7"


def test_row_more_address(seen: Seen) -> None:
    """Pieces go where the first was to go."""
    assert seen.facts["more_other_address"] == "first 12, second -11"


def test_row_control_order(stock: Seen) -> None:
    """IP_TTL, of four bytes, comes before IP_TOS, of one."""
    assert stock.facts["cmsg_order"] == "type 2 of 4, then 1 of 1"
    assert stock.facts["tos_size"] == "10 -22 -22 10"


def test_row_after_reset(seen: Seen) -> None:
    """Sending to who has reset the connection."""
    assert (seen.facts["send_after_reset"], seen.facts["send_after_reset_again"]) == ("-104", "-32")
    assert seen.facts["send_unconnected"] == "-32"


def test_row_sigpipe(seen: Seen) -> None:
    """A kernel_sendmsg() that fails so kills insmod, and the module stays."""
    assert (seen.facts["sigpipe"], seen.status["sigpipe"]) == ("-32", 13)
    assert seen.guest["sigpipe loaded"] == "1"


def test_row_netlink_nobody(seen: Seen) -> None:
    """Netlink messages to nobody."""
    assert seen.facts["netlink_nobody"] == "-111"
    assert seen.facts["netlink_broadcast_nobody"] == "-3"


def test_row_netlink_returns(seen: Seen) -> None:
    """One of two functions returns the length, the other 0."""
    assert (seen.facts["netlink_unicast"], seen.facts["nlmsg_unicast"]) == ("20", "0")


def test_row_netlink_input(seen: Seen) -> None:
    """The input callback may sleep; NLM_F_ACK is answered by nobody but it."""
    assert seen.facts["netlink_input"] == "atomic 0, answer -11"


def test_row_netlink_in_use(seen: Seen) -> None:
    """A module cannot be unloaded while a program has a socket of its unit."""
    assert seen.guest["unload"] == "11 0"


def test_row_netlink_ack(seen: Seen) -> None:
    """An ack of success never holds the request's body."""
    assert seen.guest["netlink"].split()[:2] == ["0", "True"]


def test_row_netlink_policy(seen: Seen) -> None:
    """A string that is too long is EINVAL, and the extended ack points at its attribute."""
    assert seen.guest["netlink"].split()[2:] == ["22", "2"]


def test_row_netlink_units(seen: Seen) -> None:
    """Units 17 to 31 are free."""
    assert set(range(17, 32)) <= set(map(int, seen.facts["netlink_free"].split()))


def test_row_taken(seen: Seen) -> None:
    """What is taken is refused, each with another error."""
    assert (seen.facts["protocol_taken"], seen.facts["chrdev_taken"]) == ("-1", "-16")
    assert (seen.facts["family_taken"], seen.facts["family_max"]) == ("-17", "-105")
    assert "NET: Registered PF_INET protocol family" in seen.log[""]


def test_row_socket_protocol(seen: Seen) -> None:
    """A protocol that does not suit the socket's type is refused."""
    assert (seen.facts["udp_of_tcp"], seen.facts["raw_0"]) == ("-93", "-93")
