// SPDX-License-Identifier: GPL-2.0
/*
 * way.c - tells the way of IPv4 packets: netfilter's places, what hooks say there, the socket.
 *
 * It is loaded before the module under test, and only where a check has failed and
 * is run again to be explained. What it sees comes as trace events (way_events.h):
 *
 * way:place: a packet comes to a place (through=0), or all hooks there have let
 * it go on (through=1). These are hooks of its own, the first and the last at each
 * place of each network namespace. Of hooks of the same priority the one that
 * registered last is called first: after a module was loaded they register again.
 *
 * way:verdict: another hook function was called and returned this. Which functions
 * there are stands in the kernel's tables; they are looked at after each module was
 * loaded, and when a packet meets one that is not known yet, for the next packet.
 *
 * way:socket: the packet is handed to a socket.
 *
 * What becomes of it else the kernel's own events tell, skb:kfree_skb and net:*.
 */

#include <linux/ip.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/notifier.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/workqueue.h>
#include <net/ip.h>
#include <net/net_namespace.h>

/* What is known of a packet; what it is too short for is 0. Numbers are the host's order. */
struct packet {
	u32 source, destination;
	u16 source_port, destination_port, id, fragment;
	u8 protocol, flags;
};

#define CREATE_TRACE_POINTS
#include "way_events.h"

/* --- the places ------------------------------------------------------------------------ */

static void read_packet(const struct sk_buff *skb, struct packet *packet)
{
	const struct iphdr *ip = ip_hdr(skb);
	int at = skb_network_offset(skb) + ip->ihl * 4;
	struct tcphdr tcp = {};

	packet->protocol = ip->protocol;
	packet->source = ntohl(ip->saddr);
	packet->destination = ntohl(ip->daddr);
	packet->id = ntohs(ip->id);
	packet->fragment = ntohs(ip->frag_off) & IP_OFFSET;
	if (packet->fragment)
		return;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return;
	/* the ports stand first in both; what is missing stays 0 */
	skb_copy_bits(skb, at, &tcp, clamp_t(int, skb->len - at, 0, sizeof(tcp)));
	packet->source_port = ntohs(tcp.source);
	packet->destination_port = ntohs(tcp.dest);
	if (ip->protocol == IPPROTO_TCP)
		packet->flags = ((u8 *)&tcp)[13];
}

static void tell(const struct sk_buff *skb, const struct nf_hook_state *state, bool through)
{
	struct packet packet = {};

	read_packet(skb, &packet);
	trace_place(skb, state, through, &packet);
}

static void look_for_hooks(const struct nf_hook_state *state);

static unsigned int comes(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	look_for_hooks(state);
	tell(skb, state, false);
	return NF_ACCEPT;
}

static unsigned int goes_on(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	tell(skb, state, true);
	return NF_ACCEPT;
}

#define FIRST(place) { .hook = comes, .pf = NFPROTO_IPV4, .hooknum = (place), .priority = INT_MIN }
#define LAST(place) { .hook = goes_on, .pf = NFPROTO_IPV4, .hooknum = (place), .priority = INT_MAX }

static const struct nf_hook_ops first[] = {
	FIRST(NF_INET_PRE_ROUTING), FIRST(NF_INET_LOCAL_IN), FIRST(NF_INET_FORWARD),
	FIRST(NF_INET_LOCAL_OUT), FIRST(NF_INET_POST_ROUTING),
};

static const struct nf_hook_ops last[] = {
	LAST(NF_INET_PRE_ROUTING), LAST(NF_INET_LOCAL_IN), LAST(NF_INET_FORWARD),
	LAST(NF_INET_LOCAL_OUT), LAST(NF_INET_POST_ROUTING),
};

static int __net_init begin(struct net *net)
{
	int err = nf_register_net_hooks(net, first, ARRAY_SIZE(first));

	if (err)
		return err;
	err = nf_register_net_hooks(net, last, ARRAY_SIZE(last));
	if (err)
		nf_unregister_net_hooks(net, first, ARRAY_SIZE(first));
	return err;
}

static void __net_exit end(struct net *net)
{
	nf_unregister_net_hooks(net, last, ARRAY_SIZE(last));
	nf_unregister_net_hooks(net, first, ARRAY_SIZE(first));
}

static struct pernet_operations places = {
	.init	= begin,
	.exit	= end,
};

/* --- the other hooks, by their functions ----------------------------------------------- */

#define FUNCTIONS	16

struct watched {
	struct kretprobe probe;
	void *function;		/* NULL: free */
	char name[96];
};

struct call {
	const void *skb;
	unsigned int place;
};

static struct watched watched[FUNCTIONS];
static DEFINE_MUTEX(watching);

static int called(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct call *call = (struct call *)instance->data;
	const struct nf_hook_state *state = (void *)regs_get_kernel_argument(regs, 2);

	call->skb = (void *)regs_get_kernel_argument(regs, 1);
	call->place = state->hook;
	return 0;
}

static int returned(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct call *call = (struct call *)instance->data;
	struct watched *of = container_of(get_kretprobe(instance), struct watched, probe);

	trace_verdict(call->skb, call->place, of->name, regs_return_value(regs));
	return 0;
}

static bool is_known(const void *function)
{
	for (int i = 0; i < FUNCTIONS; i++)
		if (READ_ONCE(watched[i].function) == function)
			return true;
	return function == comes || function == goes_on;
}

static void watch(void *function)
{
	struct watched *slot = watched;

	while (slot < watched + FUNCTIONS && slot->function)
		slot++;
	if (is_known(function) || slot == watched + FUNCTIONS)
		return;
	memset(slot, 0, sizeof(*slot));
	slot->probe.kp.addr = function;
	slot->probe.entry_handler = called;
	slot->probe.handler = returned;
	slot->probe.data_size = sizeof(struct call);
	slot->probe.maxactive = 16;
	snprintf(slot->name, sizeof(slot->name), "%ps", function);
	if (!register_kretprobe(&slot->probe))
		WRITE_ONCE(slot->function, function);
}

/* Forget the functions of a module, or all of them. */
static void unwatch(const struct module *owner)
{
	mutex_lock(&watching);
	for (int i = 0; i < FUNCTIONS; i++) {
		void *function = watched[i].function;

		if (!function || (owner && !within_module((unsigned long)function, owner)))
			continue;
		unregister_kretprobe(&watched[i].probe);
		WRITE_ONCE(watched[i].function, NULL);
	}
	mutex_unlock(&watching);
}

/* Return the hooks at a place; the caller is in a read-side section. */
static const struct nf_hook_entries *hooks_at(struct net *net, unsigned int place)
{
	return rcu_dereference(net->nf.hooks_ipv4[place]);
}

static unsigned int functions(struct net *net, void **found, unsigned int most)
{
	unsigned int n = 0;

	rcu_read_lock();
	for (unsigned int place = 0; place < NF_INET_NUMHOOKS; place++) {
		const struct nf_hook_entries *at = hooks_at(net, place);

		for (unsigned int i = 0; at && i < at->num_hook_entries && n < most; i++)
			if (!is_known(at->hooks[i].hook))
				found[n++] = at->hooks[i].hook;
	}
	rcu_read_unlock();
	return n;
}

static void watch_all(void)
{
	void *found[FUNCTIONS];
	struct net *net;
	unsigned int n;

	down_read(&net_rwsem);
	for_each_net(net) {
		n = functions(net, found, FUNCTIONS);
		mutex_lock(&watching);
		while (n)
			watch(found[--n]);
		mutex_unlock(&watching);
	}
	up_read(&net_rwsem);
}

static void watch_later(struct work_struct *work)
{
	watch_all();
}

static DECLARE_WORK(later, watch_later);

static void look_for_hooks(const struct nf_hook_state *state)
{
	const struct nf_hook_entries *at = hooks_at(state->net, state->hook);

	for (unsigned int i = 0; at && i < at->num_hook_entries; i++)
		if (!is_known(at->hooks[i].hook))
			schedule_work(&later);
}

static void be_first_again(void)
{
	struct net *net;

	down_read(&net_rwsem);
	for_each_net(net) {
		nf_unregister_net_hooks(net, first, ARRAY_SIZE(first));
		if (nf_register_net_hooks(net, first, ARRAY_SIZE(first)))
			pr_err("way: it is not told any more where packets come to\n");
	}
	up_read(&net_rwsem);
}

static int on_module(struct notifier_block *block, unsigned long state, void *data)
{
	if (state == MODULE_STATE_LIVE) {
		be_first_again();
		watch_all();
	} else if (state == MODULE_STATE_GOING) {
		unwatch(data);
	}
	return NOTIFY_DONE;
}

static struct notifier_block modules = {
	.notifier_call	= on_module,
};

/* --- the socket ------------------------------------------------------------------------ */

static int to_socket(struct kprobe *probe, struct pt_regs *regs)
{
	const struct sock *sk = (void *)regs_get_kernel_argument(regs, 0);

	if (sk && sk->sk_family == AF_INET)
		trace_socket((void *)regs_get_kernel_argument(regs, 1), sk->sk_num);
	return 0;
}

static struct kprobe sockets[] = {
	{ .symbol_name = "tcp_v4_do_rcv", .pre_handler = to_socket },
	{ .symbol_name = "__udp_enqueue_schedule_skb", .pre_handler = to_socket },
};

/* --- */

static int __init way_init(void)
{
	int err = register_pernet_subsys(&places);

	if (err)
		return err;
	err = register_module_notifier(&modules);
	if (err) {
		unregister_pernet_subsys(&places);
		return err;
	}
	watch_all();
	for (unsigned int i = 0; i < ARRAY_SIZE(sockets); i++)
		if (register_kprobe(&sockets[i]))
			sockets[i].addr = NULL;
	return 0;
}

static void __exit way_exit(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(sockets); i++)
		if (sockets[i].addr)
			unregister_kprobe(&sockets[i]);
	unregister_module_notifier(&modules);
	unregister_pernet_subsys(&places);
	cancel_work_sync(&later);
	unwatch(NULL);
}

module_init(way_init);
module_exit(way_exit);

MODULE_DESCRIPTION("Tells the way of IPv4 packets");
MODULE_AUTHOR("The knetlab project");
MODULE_LICENSE("GPL");
