// SPDX-License-Identifier: GPL-2.0
/*
 * Something to watch: a hook that sees every IPv4 packet this host sends, and
 * says so at three levels of the kernel log.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#define DEBUG

#include <linux/init.h>
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/ratelimit.h>
#include <linux/skbuff.h>
#include <net/net_namespace.h>

static void look_at(const struct sk_buff *skb)
{
	const struct iphdr *iph = ip_hdr(skb);

	pr_debug("%u bytes to %pI4, protocol %u\n", skb->len, &iph->daddr,
		 iph->protocol);
	if (iph->protocol == IPPROTO_ICMP)
		pr_info_ratelimited("an ICMP packet to %pI4\n", &iph->daddr);
}

static unsigned int packets_hook(void *priv, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	look_at(skb);
	return NF_ACCEPT;
}

static const struct nf_hook_ops my_ops = {
	.hook		= packets_hook,
	.pf		= PF_INET,
	.hooknum	= NF_INET_LOCAL_OUT,
	.priority	= NF_IP_PRI_FIRST,
};

static int __init packets_init(void)
{
	int err = nf_register_net_hook(&init_net, &my_ops);

	if (err)
		pr_err("the hook cannot be registered: %d\n", err);

	return err;
}

static void __exit packets_exit(void)
{
	nf_unregister_net_hook(&init_net, &my_ops);
}

module_init(packets_init);
module_exit(packets_exit);

MODULE_DESCRIPTION("Logs the packets that this host sends");
MODULE_LICENSE("GPL");
