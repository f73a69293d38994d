// SPDX-License-Identifier: GPL-2.0
/*
 * statements.c - what the book says of kernels, done by a module.
 *
 * tests/vm/test_statements.py loads it. "act" names what init does; without it, what
 * leaves no trace, told line by line as "seen: NAME RESULT". Much of it is wrong on purpose.
 */
#include <linux/fs.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/poison.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <net/inet_sock.h>
#include <net/net_namespace.h>
#include <net/sock.h>

static char *act = "";
module_param(act, charp, 0);
MODULE_PARM_DESC(act, "what init does");

#define NUMBER	42
#define PORT	60000
#define SAY(name, ...)	pr_info("seen: " name " " __VA_ARGS__)

static volatile unsigned long not_a_pointer = 0x0100007f, zero;
static struct list_head poisoned = { LIST_POISON1, LIST_POISON2 };
static struct socket *sock, *other;

static bool is(const char *name)
{
	return !strcmp(act, name);
}

/* --- what a device and a hook leave behind --- */

static int my_open(struct inode *inode, struct file *file)
{
	return 0;
}

static const struct file_operations owned = {
	.owner	= THIS_MODULE,
	.open	= my_open,
};

static unsigned int my_hook(void *priv, struct sk_buff *skb,
			    const struct nf_hook_state *state)
{
	if (ip_hdr(skb)->protocol == IPPROTO_ICMP)
		SAY("hook", "called\n");
	return is("drop") && ip_hdr(skb)->protocol == IPPROTO_UDP ? NF_DROP : NF_ACCEPT;
}

static const struct nf_hook_ops my_ops = {
	.hook		= my_hook,
	.pf		= NFPROTO_IPV4,
	.hooknum	= NF_INET_LOCAL_OUT,
	.priority	= NF_IP_PRI_FIRST,
};

/* --- what calls return --- */

static struct sockaddr_in at(int port)
{
	struct sockaddr_in address = {
		.sin_family		= AF_INET,
		.sin_port		= htons(port),
		.sin_addr.s_addr	= htonl(INADDR_LOOPBACK),
	};

	return address;
}

static struct socket *tcp(void)
{
	struct socket *made = NULL;

	int err = sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP, &made);

	SAY("create", "%d\n", err);
	return err ? NULL : made;
}

static void peers(void)
{
	struct sockaddr_in address = at(PORT), peer;
	struct socket *first = tcp(), *second = tcp(), *client = tcp(), *accepted = NULL;

	if (!first || !second || !client)
		return;
	SAY("bind", "%d\n", kernel_bind(first, (void *)&address, sizeof(address)));
	SAY("listen", "%d\n", kernel_listen(first, 5));
	SAY("taken", "%d\n", kernel_bind(second, (void *)&address, sizeof(address)));
	SAY("nobody", "%d\n", kernel_getpeername(first, (void *)&peer));
	SAY("connect", "%d\n", kernel_connect(client, (void *)&address, sizeof(address), 0));
	SAY("accept", "%d\n", kernel_accept(first, &accepted, 0));
	if (accepted) {
		SAY("peer", "%d\n", kernel_getpeername(accepted, (void *)&peer));
		SAY("new", "%d\n", accepted != first);
		sock_release(client);
		client = NULL;
		sock_release(accepted);
	}
	sock_release(first);
	sock_release(second);
	if (client)
		sock_release(client);
}

static int send(struct socket *from, int length_of_name)
{
	struct sockaddr_in address = at(PORT + 1);
	struct msghdr msg = { .msg_name = &address, .msg_namelen = length_of_name };
	struct kvec piece = { .iov_base = "kernelsocket\n", .iov_len = 13 };

	return kernel_sendmsg(from, &msg, &piece, 1, 13);
}

static void datagrams(void)
{
	struct socket *udp;

	if (sock_create_kern(&init_net, PF_INET, SOCK_DGRAM, IPPROTO_UDP, &udp))
		return;
	SAY("unbound", "%d\n", inet_sk(udp->sk)->inet_num);
	SAY("short", "%d\n", send(udp, 8));
	SAY("sent", "%d\n", send(udp, sizeof(struct sockaddr_in)));
	SAY("bound", "%d\n", inet_sk(udp->sk)->inet_num > 0);
	sock_release(udp);
}

static void formats(void)
{
	__be32 address = htonl(INADDR_LOOPBACK);
	u32 taken = 0x55555555;

	SAY("error", "%pe\n", ERR_PTR(-EADDRINUSE));
	SAY("noerror", "%pe\n", ERR_PTR(0));
	SAY("pointer", "%p %px\n", &sock, &sock);
	SAY("address", "%pI4 %u\n", &address, be32_to_cpu(address) == INADDR_LOOPBACK);
	SAY("swapped", "%u\n", (u16)(__force u16)htons(PORT));
	SAY("left", "%d\n", (int)copy_from_user(&taken, (void __user *)8, sizeof(taken)));
	SAY("filled", "%x\n", taken);
	SAY("drop", "%d\n", NF_DROP);
	SAY("poison", "%lx\n", (unsigned long)LIST_POISON1);
	pr_debug("seen: debug 1\n");
	pr_emerg("seen: emerg\n");
	pr_err("seen: err\n");
	pr_warn("seen: warn\n");
	pr_info("seen: info\n");
}

/* --- loading and unloading --- */

static int __init statements_init(void)
{
	if (is("fail"))
		return -ENOMEM;
	if (is("minus"))
		return -1;
	if (is("length"))
		return 13;
	if (is("number") || is("number-left"))
		return register_chrdev(NUMBER, "statements", &owned);
	if (is("hook") || is("hook-left") || is("drop"))
		return nf_register_net_hook(&init_net, &my_ops);
	if (is("pI4"))
		SAY("wrong", "%pI4\n", (void *)not_a_pointer);
	if (is("poisoned"))
		list_del(&poisoned);
	if (is("read-poison"))
		SAY("read", "%lx\n", *(unsigned long *)((unsigned long)LIST_POISON1 + zero));
	if (is("release-null"))
		sock_release((void *)zero);
	if (is("bug"))
		BUG();
	if (is("accept")) {
		struct sockaddr_in address = at(PORT);
		int err;

		sock = tcp();
		if (!sock)
			return -ENOMEM;
		err = kernel_bind(sock, (void *)&address, sizeof(address));
		err = err ?: kernel_listen(sock, 5);
		err = err ?: kernel_accept(sock, &other, 0);
		if (err) {
			SAY("accept", "%d\n", err);
			sock_release(sock);
		}
		return err;
	}
	if (!*act) {
		formats();
		peers();
		datagrams();
	}

	return 0;
}

static void __exit statements_exit(void)
{
	SAY("exit", "called\n");
	if (is("number"))
		unregister_chrdev(NUMBER, "statements");
	if (is("hook") || is("drop"))
		nf_unregister_net_hook(&init_net, &my_ops);
	if (other)
		sock_release(other);
	if (is("accept"))
		sock_release(sock);
}

module_init(statements_init);
module_exit(statements_exit);

MODULE_DESCRIPTION("Does what the book says of kernels");
MODULE_LICENSE("GPL");
