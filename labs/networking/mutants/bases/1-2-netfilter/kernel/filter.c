// SPDX-License-Identifier: GPL-2.0
/*
 * Log the TCP connections that this host opens.
 *
 * A netfilter hook sees every IPv4 packet that this host sends. When one of
 * them opens a TCP connection, the kernel log (dmesg) shows where it comes
 * from:
 *
 *   TCP connection initiated from 127.0.0.1:44716
 *
 * An ioctl on the character device /dev/filter narrows this down to one
 * destination address. All packets go on their way, logged or not.
 */

#include <linux/fs.h>
#include <linux/in.h>
#include <linux/init.h>
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/uaccess.h>
#include <net/ip.h>
#include <net/net_namespace.h>

#include "../include/filter.h"

#define MY_DEVICE_NAME	"filter"

/*
 * The destination to log, in network byte order; 0 until one is set, and no
 * packet on the wire goes to 0.0.0.0. An ioctl may write it while hooks on
 * other CPUs read it, hence READ_ONCE() and WRITE_ONCE().
 */
static __be32 ioctl_set_addr;

/* Is a connection to @daddr one that should be logged? */
static bool test_daddr(__be32 daddr)
{
	__be32 wanted = READ_ONCE(ioctl_set_addr);

	if (!wanted)
		return true;	/* no address set yet: log them all */

	/*
	 * TODO 2 begin: compare the destination of the packet with the one that
	 * is wanted. Both are in network byte order, so nothing is converted.
	 */
	return daddr == wanted;
	/* TODO 2 end */
	/* TODO 2 skeleton: return true; */
}

/* Log @skb if it opens a TCP connection. */
static void log_new_connection(const struct sk_buff *skb)
{
	/*
	 * TODO 1 begin: find out if this packet opens a TCP connection, and if
	 * it does, log the line
	 *
	 *   TCP connection initiated from A.B.C.D:PORT
	 *
	 * with the source address and the source port of the packet.
	 *
	 * ip_hdr() gives the struct iphdr: see its protocol and saddr. The
	 * struct tcphdr comes from tcp_hdr(), or from skb_header_pointer(),
	 * which also makes sure that the packet is long enough to have one.
	 * The packet that opens a connection has the flag SYN set and the flag
	 * ACK clear; the answer to it has both set.
	 *
	 * For pr_info(), %pI4 takes a pointer to the address. The port is in
	 * network byte order: look up ntohs().
	 */
	const struct iphdr *iph = ip_hdr(skb);
	const struct tcphdr *tcph;
	struct tcphdr buf;

	/* Only the first fragment of a packet has the TCP header. */
	if (iph->protocol != IPPROTO_TCP || iph->frag_off & htons(IP_OFFSET))
		return;

	tcph = skb_header_pointer(skb, ip_hdrlen(skb), sizeof(buf), &buf);
	if (!tcph || !tcph->syn || tcph->ack)
		return;

	pr_info("TCP connection initiated from %pI4:%u\n",
		&iph->saddr, ntohs(tcph->source));
	/* TODO 1 end */
}

/* Called in the sender's context or in a softirq: it must not sleep. */
static unsigned int my_nf_hookfn(void *priv, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	if (test_daddr(ip_hdr(skb)->daddr))
		log_new_connection(skb);

	return NF_ACCEPT;
}

/*
 * TODO 1 begin: fill in the rest of the hook: the protocol family (PF_INET),
 * the place on the packet's way (NF_INET_LOCAL_OUT), and the priority, which
 * puts it before all other hooks there (NF_IP_PRI_FIRST). Look up struct
 * nf_hook_ops. Once the hook is registered below, __maybe_unused can go.
 */
static const struct nf_hook_ops my_nfho = {
	.hook		= my_nf_hookfn,
	.pf		= PF_INET,
	.hooknum	= NF_INET_LOCAL_OUT,
	.priority	= NF_IP_PRI_FIRST,
};

/* TODO 1 end */
/*
 * TODO 1 skeleton:
 * static const struct nf_hook_ops __maybe_unused my_nfho = {
 *	.hook		= my_nf_hookfn,
 * };
 */

static long my_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	/*
	 * TODO 2 begin: handle the command MY_IOCTL_FILTER_ADDRESS. Its argument
	 * arg is the address, in user space, of an IPv4 address in network byte
	 * order. Fetch it with copy_from_user() into a variable of your own,
	 * and only when that has worked put it into ioctl_set_addr, with
	 * WRITE_ONCE(). Return 0; -EFAULT if the pointer is bad; -ENOTTY for
	 * every other command.
	 */
	__be32 addr;

	switch (cmd) {
	case MY_IOCTL_FILTER_ADDRESS:
		if (copy_from_user(&addr, (void __user *)arg, sizeof(addr)))
			return -EFAULT;
		WRITE_ONCE(ioctl_set_addr, addr);
		return 0;
	default:
		return -ENOTTY;
	}
	/* TODO 2 end */
	/* TODO 2 skeleton: return -ENOTTY; */
}

static const struct file_operations my_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= my_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

static int __init my_filter_init(void)
{
	int err;

	err = register_chrdev(MY_MAJOR, MY_DEVICE_NAME, &my_fops);
	if (err)
		return err;

	/*
	 * TODO 1 begin: register the hook for the network namespace init_net.
	 * Look up nf_register_net_hook(). If it fails, undo what was done so
	 * far and return its error.
	 */
	err = nf_register_net_hook(&init_net, &my_nfho);
	if (err)
		unregister_chrdev(MY_MAJOR, MY_DEVICE_NAME);

	return err;
	/* TODO 1 end */
	/* TODO 1 skeleton: return 0; */
}

static void __exit my_filter_exit(void)
{
	/* TODO 1 begin: unregister the hook. */
	nf_unregister_net_hook(&init_net, &my_nfho);
	/* TODO 1 end */
	unregister_chrdev(MY_MAJOR, MY_DEVICE_NAME);
}

module_init(my_filter_init);
module_exit(my_filter_exit);

MODULE_DESCRIPTION("Log the TCP connections that this host opens");
MODULE_AUTHOR("knetlab");
MODULE_LICENSE("GPL");
