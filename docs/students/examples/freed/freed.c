// SPDX-License-Identifier: GPL-2.0
/*
 * Wrong on purpose: exit frees the counter and then reads it, to log how many
 * packets were seen.
 */

#include <linux/init.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/slab.h>
#include <net/net_namespace.h>

struct counter {
	unsigned long bytes;
	unsigned long packets;
};

static struct counter *seen;

static unsigned int count_packet(void *priv, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	seen->packets++;
	seen->bytes += skb->len;
	return NF_ACCEPT;
}

static const struct nf_hook_ops my_ops = {
	.hook		= count_packet,
	.pf		= PF_INET,
	.hooknum	= NF_INET_LOCAL_OUT,
	.priority	= NF_IP_PRI_FIRST,
};

static int __init freed_init(void)
{
	int err;

	seen = kzalloc(sizeof(*seen), GFP_KERNEL);
	if (!seen)
		return -ENOMEM;

	err = nf_register_net_hook(&init_net, &my_ops);
	if (err)
		kfree(seen);

	return err;
}

static void __exit freed_exit(void)
{
	nf_unregister_net_hook(&init_net, &my_ops);
	kfree(seen);
	pr_info("freed: %lu packets\n", seen->packets);
}

module_init(freed_init);
module_exit(freed_exit);

MODULE_DESCRIPTION("Wrong on purpose: memory is used after it was freed");
MODULE_LICENSE("GPL");
