// SPDX-License-Identifier: GPL-2.0
/* hooks.c - a hook of one's own at one of netfilter's places, for the tests of packets' ways. */
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/udp.h>
#include <net/ip.h>

static int place;
module_param(place, int, 0);

static int verdict = NF_ACCEPT;
module_param(verdict, int, 0);

static int port;
module_param(port, int, 0);

static int priority = NF_IP_PRI_FIRST;
module_param(priority, int, 0);

static unsigned int my_hook(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	const struct iphdr *ip = ip_hdr(skb);
	const struct udphdr *udp = (const void *)ip + ip->ihl * 4;

	if (ip->protocol != IPPROTO_UDP || ntohs(udp->dest) != port)
		return NF_ACCEPT;
	pr_info("hooks: %pI4 to port %d\n", &ip->saddr, port);
	if (verdict == NF_STOLEN)
		kfree_skb(skb);
	return verdict;
}

static struct nf_hook_ops ops = {
	.hook	= my_hook,
	.pf	= NFPROTO_IPV4,
};

static int __init hooks_init(void)
{
	ops.hooknum = place;
	ops.priority = priority;
	return nf_register_net_hook(&init_net, &ops);
}

static void __exit hooks_exit(void)
{
	nf_unregister_net_hook(&init_net, &ops);
}

module_init(hooks_init);
module_exit(hooks_exit);

MODULE_DESCRIPTION("A hook at one place");
MODULE_AUTHOR("The knetlab project");
MODULE_LICENSE("GPL");
