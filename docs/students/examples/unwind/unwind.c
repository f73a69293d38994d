// SPDX-License-Identifier: GPL-2.0
/*
 * Three things are taken in init, and given back in exit in reverse order.
 * When the second or the third cannot be had, init gives back what it has.
 *
 * insmod unwind.ko major=1 makes the second fail: another driver has the
 * number 1.
 */

#include <linux/fs.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/slab.h>
#include <net/net_namespace.h>

#define NAME "unwind"
#define PORTS 65536

static int major = 42;
module_param(major, int, 0);
MODULE_PARM_DESC(major, "the major number of the device");

static u32 *packets;	/* by source port; not filled in here */

static const struct file_operations my_fops = {
	.owner	= THIS_MODULE,
};

static unsigned int my_hook(void *priv, struct sk_buff *skb,
			    const struct nf_hook_state *state)
{
	return NF_ACCEPT;
}

static const struct nf_hook_ops my_ops = {
	.hook		= my_hook,
	.pf		= PF_INET,
	.hooknum	= NF_INET_LOCAL_OUT,
	.priority	= NF_IP_PRI_FIRST,
};

/* [init] */
static int __init unwind_init(void)
{
	int err;

	packets = kvcalloc(PORTS, sizeof(*packets), GFP_KERNEL);
	if (!packets)
		return -ENOMEM;

	err = register_chrdev(major, NAME, &my_fops);
	if (err)
		goto out_free;

	err = nf_register_net_hook(&init_net, &my_ops);
	if (err)
		goto out_unregister;

	return 0;

out_unregister:
	unregister_chrdev(major, NAME);
out_free:
	kvfree(packets);
	return err;
}

static void __exit unwind_exit(void)
{
	nf_unregister_net_hook(&init_net, &my_ops);
	unregister_chrdev(major, NAME);
	kvfree(packets);
}

/* [end] */
module_init(unwind_init);
module_exit(unwind_exit);

MODULE_DESCRIPTION("What init took is given back in reverse order");
MODULE_LICENSE("GPL");
