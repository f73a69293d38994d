// SPDX-License-Identifier: GPL-2.0
/*
 * Wrong on purpose: a spinlock is taken in a hook, which runs in a softirq,
 * and in exit with softirqs let in.
 */

#include <linux/init.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/spinlock.h>
#include <net/net_namespace.h>

static DEFINE_SPINLOCK(seen_lock);
static unsigned long seen;	/* packets; guarded by seen_lock */

static unsigned int count_packet(void *priv, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	spin_lock(&seen_lock);
	seen++;
	spin_unlock(&seen_lock);
	return NF_ACCEPT;
}

static const struct nf_hook_ops my_ops = {
	.hook		= count_packet,
	.pf		= PF_INET,
	.hooknum	= NF_INET_LOCAL_IN,
	.priority	= NF_IP_PRI_FIRST,
};

static int __init locked_init(void)
{
	return nf_register_net_hook(&init_net, &my_ops);
}

static void __exit locked_exit(void)
{
	spin_lock(&seen_lock);
	pr_info("locked: %lu packets\n", seen);
	spin_unlock(&seen_lock);
	nf_unregister_net_hook(&init_net, &my_ops);
}

module_init(locked_init);
module_exit(locked_exit);

MODULE_DESCRIPTION("Wrong on purpose: a spinlock that lets softirqs in");
MODULE_LICENSE("GPL");
