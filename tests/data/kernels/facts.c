// SPDX-License-Identifier: GPL-2.0
/*
 * facts.c - what a kernel does, told line by line in its log.
 *
 * tests/vm/test_kernels_page.py loads it: without "act" init runs every experiment
 * that leaves the kernel whole, and says of each "seen: NAME RESULT". "act"
 * names one that does not. What some of them do is wrong on purpose.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysctl.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/workqueue.h>
#include <net/ip.h>
#include <net/net_namespace.h>
#include <net/netlink.h>
#include <net/protocol.h>
#include <net/sock.h>

static char *act = "";
module_param(act, charp, 0);
MODULE_PARM_DESC(act, "the one thing to do; without it, all that is harmless");

#define SAY(name, ...)	pr_info("seen: " name " " __VA_ARGS__)
#define LO		htonl(INADDR_LOOPBACK)
#define PORT		7001
#define BIG		(1 << 20)

static volatile int volatile_zero;
static volatile int volatile_ten = 10;
static char big[60000];

static struct sockaddr_in at(int port)
{
	struct sockaddr_in address = {
		.sin_family		= AF_INET,
		.sin_port		= htons(port),
		.sin_addr.s_addr	= LO,
	};

	return address;
}

static struct socket *udp(int port)
{
	struct sockaddr_in address = at(port);
	struct socket *sock;

	if (sock_create_kern(&init_net, PF_INET, SOCK_DGRAM, IPPROTO_UDP, &sock))
		return NULL;
	if (kernel_bind(sock, (void *)&address, sizeof(address)))
		pr_err("facts: port %d is taken\n", port);
	return sock;
}

static struct socket *tcp(void)
{
	struct socket *sock;

	return sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP, &sock) ? NULL : sock;
}

static int put(struct socket *sock, struct sockaddr_in *to, size_t length, int flags)
{
	struct msghdr msg = {.msg_name = to, .msg_namelen = to ? sizeof(*to) : 0, .msg_flags = flags};
	struct kvec vec = {.iov_base = big, .iov_len = length};

	return kernel_sendmsg(sock, &msg, &vec, 1, length);
}

static int take(struct socket *sock)
{
	struct msghdr msg = {};
	struct kvec vec = {.iov_base = big, .iov_len = sizeof(big)};

	return kernel_recvmsg(sock, &msg, &vec, 1, sizeof(big), MSG_DONTWAIT);
}

/* --- hooks ----------------------------------------------------------------- */

static char trace[64];
static int traced;
static int calls;
static unsigned int answer;
static int wanted;	/* the protocol that hooks look at */
static bool seen_dev, seen_out, whole_ip, whole_sum;
static int longest, tot_len_of_longest;

static void note(char c)
{
	if (traced < sizeof(trace) - 1)
		trace[traced++] = c;
	trace[traced] = 0;
}

static void forget(void)
{
	traced = 0;
	trace[0] = 0;
	calls = 0;
}

static unsigned int hook(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	if (ip_hdr(skb)->protocol != wanted)
		return NF_ACCEPT;
	calls++;
	note((char)(long)priv);
	note(in_softirq() ? 's' : 'p');
	return answer;
}

static unsigned int look(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	struct iphdr *ip = ip_hdr(skb);
	struct udphdr *udp = (void *)ip + ip->ihl * 4;

	seen_dev = skb->dev;
	seen_out = state->out;
	whole_ip = !ip_fast_csum(ip, ip->ihl);
	whole_sum = skb->ip_summed != CHECKSUM_PARTIAL && udp->check;
	if (skb->len > longest) {
		longest = skb->len;
		tot_len_of_longest = ntohs(ip->tot_len);
	}
	return NF_ACCEPT;
}

#define HOOK(c, hook_num, prio) {					\
	.hook = hook, .priv = (void *)(c), .pf = NFPROTO_IPV4,		\
	.hooknum = (hook_num), .priority = (prio) }

static struct nf_hook_ops path[] = {
	HOOK('O', NF_INET_LOCAL_OUT, 0), HOOK('P', NF_INET_POST_ROUTING, 0),
	HOOK('R', NF_INET_PRE_ROUTING, 0), HOOK('I', NF_INET_LOCAL_IN, 0),
};

static struct nf_hook_ops twins[] = {
	HOOK('1', NF_INET_LOCAL_OUT, 5), HOOK('2', NF_INET_LOCAL_OUT, 5),
};

static void hooks_in_order(struct socket *sock, struct sockaddr_in *to)
{
	answer = NF_ACCEPT;
	wanted = IPPROTO_UDP;
	forget();
	nf_register_net_hooks(&init_net, path, 4);
	put(sock, to, 10, 0);
	msleep(20);
	nf_unregister_net_hooks(&init_net, path, 4);
	SAY("hook_path", "%s\n", trace);

	forget();
	nf_register_net_hooks(&init_net, twins, 2);
	put(sock, to, 10, 0);
	nf_unregister_net_hooks(&init_net, twins, 2);
	SAY("hook_same_priority", "%s\n", trace);

	forget();
	SAY("hook_twice", "%d\n", nf_register_net_hook(&init_net, twins) ?:
	    nf_register_net_hook(&init_net, twins));
	put(sock, to, 10, 0);
	nf_unregister_net_hook(&init_net, twins);
	nf_unregister_net_hook(&init_net, twins);
	SAY("hook_twice_called", "%d\n", calls);
}

static struct nf_hook_ops looking = {
	.hook = look, .pf = NFPROTO_IPV4, .hooknum = NF_INET_LOCAL_OUT,
};

static int tapped;

static int tap(struct sk_buff *skb, struct net_device *dev, struct packet_type *type,
	       struct net_device *orig)
{
	tapped++;
	note('0' + skb->pkt_type);
	note(skb->data == skb_mac_header(skb) ? 'm' : 'n');
	kfree_skb(skb);
	return 0;
}

static struct packet_type all_on_lo = {.type = htons(ETH_P_ALL), .func = tap};
static struct packet_type all_anywhere = {.type = htons(ETH_P_ALL), .func = tap};
static struct packet_type ip_anywhere = {.type = htons(ETH_P_IP), .func = tap};

static void verdicts(struct socket *sock, struct socket *peer, struct sockaddr_in *to)
{
	static const char * const names[] = {"out", "post", "pre", "in"};
	int i, sent;

	all_on_lo.dev = dev_get_by_name(&init_net, "lo");
	for (i = 0; i < 4; i++) {
		answer = NF_DROP;
		nf_register_net_hook(&init_net, &path[i]);
		dev_add_pack(&all_on_lo);
		tapped = 0;
		sent = put(sock, to, 10, 0);
		msleep(20);
		dev_remove_pack(&all_on_lo);
		nf_unregister_net_hook(&init_net, &path[i]);
		SAY("drop", "%s sendmsg %d, a tap sees %d\n", names[i], sent, tapped);
	}
	dev_put(all_on_lo.dev);

	nf_register_net_hook(&init_net, &path[0]);
	answer = NF_QUEUE;
	sent = put(sock, to, 10, 0);
	SAY("queue", "sendmsg %d, recvmsg %d\n", sent, take(peer));
	answer = NF_QUEUE_NR(0) | NF_VERDICT_FLAG_QUEUE_BYPASS;
	sent = put(sock, to, 10, 0);
	SAY("queue_bypass", "sendmsg %d, recvmsg %d\n", sent, take(peer));
	answer = 77;
	sent = put(sock, to, 10, 0);
	SAY("verdict_77", "sendmsg %d, recvmsg %d\n", sent, take(peer));
	answer = -1;
	sent = put(sock, to, 10, 0);
	SAY("verdict_minus_1", "sendmsg %d, recvmsg %d\n", sent, take(peer));
	answer = NF_DROP_ERR(-EHOSTUNREACH);
	sent = put(sock, to, 10, 0);
	SAY("drop_err", "sendmsg %d, recvmsg %d\n", sent, take(peer));
	answer = NF_STOLEN;
	for (i = 0; i < 1000; i++) {
		sent = put(sock, to, 1000, MSG_DONTWAIT);
		if (sent < 0)
			break;
	}
	SAY("stolen_out", "%d after %d\n", sent, i);
	nf_unregister_net_hook(&init_net, &path[0]);
}

static void connect_that_is_dropped(void)
{
	struct sockaddr_in to = at(PORT + 1);
	struct socket *sock = tcp();
	u64 begin = ktime_get_ns();
	int err;

	answer = NF_DROP;
	wanted = IPPROTO_TCP;
	forget();
	nf_register_net_hook(&init_net, &path[0]);
	err = kernel_connect(sock, (void *)&to, sizeof(to), 0);
	nf_unregister_net_hook(&init_net, &path[0]);
	SAY("connect_dropped", "%d after %llu s and %d calls\n", err,
	    (ktime_get_ns() - begin) / 1000000000, calls);
	sock_release(sock);
}

/* --- taps ------------------------------------------------------------------ */

static void taps(struct socket *sock, struct sockaddr_in *to)
{
	all_on_lo.dev = dev_get_by_name(&init_net, "lo");
	forget();
	dev_add_pack(&all_on_lo);
	put(sock, to, 10, 0);
	msleep(20);
	dev_remove_pack(&all_on_lo);
	dev_put(all_on_lo.dev);
	SAY("tap_all_lo", "%s\n", trace);

	forget();
	dev_add_pack(&all_anywhere);
	put(sock, to, 10, 0);
	msleep(20);
	dev_remove_pack(&all_anywhere);
	SAY("tap_all_null", "%s.\n", trace);

	forget();
	dev_add_pack(&ip_anywhere);
	put(sock, to, 10, 0);
	msleep(20);
	dev_remove_pack(&ip_anywhere);
	SAY("tap_ip_null", "%s.\n", trace);
}

/* --- sockets --------------------------------------------------------------- */

static void datagrams(void)
{
	struct sockaddr_in to = at(PORT), other = at(PORT + 5), nobody = at(PORT + 9);
	struct socket *sock = udp(PORT + 3), *peer = udp(PORT), *third = udp(PORT + 5);
	struct msghdr no_length = {.msg_name = &to, .msg_namelen = 0};
	struct kvec vec = {.iov_base = big, .iov_len = 10};
	int sent[4], i, n;

	SAY("send_no_name", "%d\n", put(sock, NULL, 10, 0));
	SAY("send_namelen_0", "%d\n", kernel_sendmsg(sock, &no_length, &vec, 1, 10));
	to.sin_family = 0;
	SAY("send_family_0", "%d\n", put(sock, &to, 10, 0));
	to.sin_family = AF_INET6;
	SAY("send_family_6", "%d\n", put(sock, &to, 10, 0));
	to.sin_family = AF_INET;
	while (take(peer) > 0)
		;
	/* pieces of 60000 and 6000 are more than a datagram holds */
	sent[0] = put(sock, &to, 60000, MSG_MORE);
	sent[1] = put(sock, &to, 6000, MSG_MORE);
	sent[2] = put(sock, &to, 10, 0);
	sent[3] = take(peer);
	SAY("more_too_much", "%d %d %d, recvmsg %d\n", sent[0], sent[1], sent[2], sent[3]);
	sent[0] = put(sock, &to, 7, MSG_MORE);
	sent[1] = put(sock, &to, 0, 0);
	SAY("more_then_0", "%d %d, recvmsg %d\n", sent[0], sent[1], take(peer));
	put(sock, &to, 7, MSG_MORE);
	put(sock, &other, 5, 0);
	sent[0] = take(peer);
	SAY("more_other_address", "first %d, second %d\n", sent[0], take(third));
	for (n = 0; n < 2000 && put(sock, &to, 1, MSG_DONTWAIT) == 1; n++)
		;
	for (i = 0; take(peer) == 1; i++)
		;
	SAY("datagrams_kept", "%d of %d\n", i, n);
	kernel_connect(sock, (void *)&nobody, sizeof(nobody), 0);
	for (i = 0; i < 4; i++)
		sent[i] = put(sock, NULL, 5, 0);
	SAY("send_nobody", "%d %d %d %d\n", sent[0], sent[1], sent[2], sent[3]);
	sock_release(sock);
	sock_release(peer);
	sock_release(third);
}

static void control(void)
{
	struct sockaddr_in to = at(PORT), from;
	struct socket *sock = udp(PORT + 3), *peer = udp(PORT);
	char space[128] __aligned(8);
	struct cmsghdr *c = (void *)space, *second;
	struct msghdr msg = {.msg_name = &from, .msg_control = space, .msg_controllen = sizeof(space)};
	struct kvec vec;
	int one = 1, size, sent[5];

	for (size = 1; size <= 4; size++) {
		struct msghdr tos = {.msg_name = &to, .msg_namelen = sizeof(to),
			.msg_control = space, .msg_controllen = CMSG_SPACE(size)};

		memset(space, 0, sizeof(space));
		c->cmsg_level = SOL_IP;
		c->cmsg_type = IP_TOS;
		c->cmsg_len = CMSG_LEN(size);
		vec = (struct kvec){.iov_base = big, .iov_len = 10};
		sent[size] = kernel_sendmsg(sock, &tos, &vec, 1, 10);
	}
	SAY("tos_size", "%d %d %d %d\n", sent[1], sent[2], sent[3], sent[4]);
	while (take(peer) > 0)
		;
	peer->ops->setsockopt(peer, SOL_IP, IP_RECVTOS, KERNEL_SOCKPTR(&one), sizeof(one));
	peer->ops->setsockopt(peer, SOL_IP, IP_RECVTTL, KERNEL_SOCKPTR(&one), sizeof(one));
	put(sock, &to, 10, 0);
	memset(space, 0, sizeof(space));
	vec = (struct kvec){.iov_base = big, .iov_len = 10};
	kernel_recvmsg(peer, &msg, &vec, 1, 10, MSG_DONTWAIT);
	second = (void *)(space + CMSG_ALIGN(c->cmsg_len));
	SAY("cmsg_order", "type %d of %zu, then %d of %zu\n", c->cmsg_type,
	    c->cmsg_len - CMSG_LEN(0), second->cmsg_type, second->cmsg_len - CMSG_LEN(0));
	SAY("getsockname", "%d\n", kernel_getsockname(sock, (struct sockaddr *)&from));
	SAY("getpeername", "%d\n", kernel_getpeername(sock, (struct sockaddr *)&from));
	sock_release(sock);
	sock_release(peer);
}

static void connections(void)
{
	struct sockaddr_in to = at(PORT);
	struct socket *listener = tcp(), *clients[9], *server = NULL;
	char states[10] = "";
	int i, err;

	SAY("accept_no_listen", "%d\n", kernel_accept(listener, &server, O_NONBLOCK));
	kernel_bind(listener, (void *)&to, sizeof(to));
	kernel_listen(listener, 5);
	SAY("accept_nobody", "%d\n", kernel_accept(listener, &server, O_NONBLOCK));
	for (i = 0; i < 9; i++) {
		clients[i] = tcp();
		kernel_connect(clients[i], (void *)&to, sizeof(to), O_NONBLOCK);
		msleep(20);
	}
	for (i = 0; i < 9; i++)
		states[i] = '0' + clients[i]->sk->sk_state;
	SAY("listen_5", "%s\n", states);
	for (i = 1; i < 9; i++)
		sock_release(clients[i]);
	kernel_accept(listener, &server, O_NONBLOCK);
	sock_no_linger(clients[0]->sk);
	sock_release(clients[0]);
	msleep(20);
	err = put(server, NULL, 10, MSG_NOSIGNAL);
	SAY("send_after_reset", "%d\n", err);
	err = put(server, NULL, 10, MSG_NOSIGNAL);
	SAY("send_after_reset_again", "%d\n", err);
	sock_release(server);
	sock_release(listener);
	clients[0] = tcp();
	err = kernel_bind(clients[0], (void *)&to, sizeof(to)) ?:
	      kernel_connect(clients[0], (void *)&to, sizeof(to), 0);
	SAY("connect_self", "%d state %d\n", err, clients[0]->sk->sk_state);
	sock_release(clients[0]);
	clients[0] = tcp();
	SAY("connect_nobody", "%d\n", kernel_connect(clients[0], (void *)&to, sizeof(to), 0));
	SAY("send_unconnected", "%d\n", put(clients[0], NULL, 10, MSG_NOSIGNAL));
	sock_release(clients[0]);
}

static void much_data(void)
{
	struct sockaddr_in to = at(PORT + 7);
	struct socket *listener = tcp(), *client = tcp(), *server;
	char *data = kvzalloc(BIG, GFP_KERNEL);
	int i, n, sent = 0;

	kernel_bind(listener, (void *)&to, sizeof(to));
	kernel_listen(listener, 5);
	kernel_connect(client, (void *)&to, sizeof(to), 0);
	if (!data || kernel_accept(listener, &server, 0))
		return;
	longest = 0;
	nf_register_net_hook(&init_net, &looking);
	for (i = 0; i < 20; i++) {
		struct msghdr msg = {.msg_flags = MSG_DONTWAIT};
		struct kvec vec = {.iov_base = data, .iov_len = BIG};

		n = kernel_sendmsg(client, &msg, &vec, 1, BIG);
		sent += n > 0 ? n : 0;
		while (take(server) > 0)
			;
		msleep(20);
	}
	nf_unregister_net_hook(&init_net, &looking);
	SAY("tot_len", "%d of %d\n", tot_len_of_longest, longest);
	SAY("sent_much", "%s\n", sent ? "yes" : "no");
	sock_release(client);
	sock_release(server);
	sock_release(listener);
	kvfree(data);
}

/* --- netlink --------------------------------------------------------------- */

static int in_context = -1;
static struct sock *unit31;

static void input(struct sk_buff *skb)
{
	in_context = in_atomic() ? 1 : 0;
	msleep(1);
}

static void netlinks(void)
{
	struct netlink_kernel_cfg cfg = {.input = input, .groups = 1};
	struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_pid = 77};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct nlmsghdr header = {.nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = 20,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK};
	struct msghdr msg = {.msg_name = &kernel, .msg_namelen = sizeof(kernel)};
	struct kvec vec = {.iov_base = &header, .iov_len = sizeof(header)};
	struct socket *user;
	struct sock *nl;
	char units[MAX_LINKS * 3 + 1] = "";
	int unit;

	for (unit = 0; unit < MAX_LINKS; unit++) {
		nl = netlink_kernel_create(&init_net, unit, &cfg);
		if (!nl)
			continue;
		sprintf(units + strlen(units), " %d", unit);
		netlink_kernel_release(nl);
	}
	SAY("netlink_free", "%s\n", units + 1);
	nl = netlink_kernel_create(&init_net, 31, &cfg);
	SAY("netlink_nobody", "%d\n", netlink_unicast(nl, nlmsg_new(8, GFP_KERNEL), 77, 0));
	SAY("netlink_broadcast_nobody", "%d\n",
	    netlink_broadcast(nl, nlmsg_new(8, GFP_KERNEL), 0, 1, GFP_KERNEL));
	if (!sock_create_kern(&init_net, PF_NETLINK, SOCK_RAW, 31, &user)) {
		struct sk_buff *skb = nlmsg_new(8, GFP_KERNEL);

		kernel_bind(user, (void *)&name, sizeof(name));
		nlmsg_put(skb, 0, 0, 20, 4, 0);
		SAY("netlink_unicast", "%d\n", netlink_unicast(nl, skb, 77, 0));
		skb = nlmsg_new(8, GFP_KERNEL);
		nlmsg_put(skb, 0, 0, 20, 4, 0);
		SAY("nlmsg_unicast", "%d\n", nlmsg_unicast(nl, skb, 77));
		while (take(user) > 0)
			;
		kernel_sendmsg(user, &msg, &vec, 1, sizeof(header));
		SAY("netlink_input", "atomic %d, answer %d\n", in_context, take(user));
		sock_release(user);
	}
	netlink_kernel_release(nl);
}

/* --- the rest -------------------------------------------------------------- */

static int none_create(struct net *net, struct socket *sock, int protocol, int kern)
{
	return -EPROTONOSUPPORT;
}

static int none_handler(struct sk_buff *skb)
{
	return 0;
}

static const struct net_proto_family families[] = {
	{.family = PF_INET, .create = none_create, .owner = THIS_MODULE},
	{.family = AF_MAX, .create = none_create, .owner = THIS_MODULE},
};

static const struct file_operations no_fops = {.owner = THIS_MODULE};
static const struct net_protocol udp_again = {.handler = none_handler};

static struct ctl_table table_with_end[] = {
	{.procname = "facts", .data = &calls, .maxlen = sizeof(int), .mode = 0644,
	 .proc_handler = proc_dointvec},
	{}
};

static void work(struct work_struct *w)
{
}

static DECLARE_WORK(some_work, work);

static void the_rest(void)
{
	struct ctl_table_header *header;
	struct workqueue_struct *queue;
	struct nf_hook_ops wrong = HOOK('x', 9, 0);
	struct socket *sock;
	char c = 0xff;
	int err;

	SAY("char", "%s\n", c < 0 ? "signed" : "unsigned");
	SAY("file", "%s\n", __FILE__);
	err = sock_create_kern(&init_net, PF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, &sock);
	SAY("udplite", "%d\n", err);
	if (!err)
		sock_release(sock);
	SAY("udp_of_tcp", "%d\n", sock_create_kern(&init_net, PF_INET, SOCK_DGRAM, IPPROTO_TCP, &sock));
	SAY("raw_0", "%d\n", sock_create_kern(&init_net, PF_INET, SOCK_RAW, 0, &sock));
	SAY("chrdev_taken", "%d\n", register_chrdev(1, "facts", &no_fops));
	SAY("errname", "%pe\n", ERR_PTR(-EADDRINUSE));
	SAY("family_taken", "%d\n", sock_register(&families[0]));
	SAY("family_max", "%d\n", sock_register(&families[1]));
	SAY("protocol_taken", "%d\n", inet_add_protocol(&udp_again, IPPROTO_UDP));
	SAY("hooknum_9", "%d\n", nf_register_net_hook(&init_net, &wrong));
	header = register_sysctl("net", table_with_end);
	SAY("sysctl_end", "%s\n", header ? "registered" : "refused");
	if (header)
		unregister_sysctl_table(header);
	queue = alloc_workqueue("facts", 0, 0);
	if (queue)
		destroy_workqueue(queue);
	queue_work(system_wq, &some_work);
	flush_work(&some_work);
}

static void all(void)
{
	struct sockaddr_in to = at(PORT);
	struct socket *sock = udp(PORT + 3), *peer = udp(PORT);

	hooks_in_order(sock, &to);
	while (take(peer) > 0)
		;
	nf_register_net_hook(&init_net, &looking);
	put(sock, &to, 10, 0);
	nf_unregister_net_hook(&init_net, &looking);
	SAY("local_out", "dev %d, out %d, ip checksum %d, udp checksum %d\n", seen_dev, seen_out,
	    whole_ip, whole_sum);
	take(peer);
	verdicts(sock, peer, &to);
	sock_release(sock);
	sock = udp(PORT + 4);
	taps(sock, &to);
	sock_release(sock);
	sock_release(peer);
	connect_that_is_dropped();
	datagrams();
	control();
	connections();
	much_data();
	netlinks();
	the_rest();
}

/* --- one at a time --------------------------------------------------------- */

static int free_twice(void)
{
	char *p = kmalloc(100, GFP_KERNEL);
	void *volatile q = p; /* or the compiler warns */

	kfree(p);
	kfree(q);
	return -ECANCELED;
}

static int fortify(void)
{
	struct {
		char name[8];
		char more[8];
	} *p = kmalloc(sizeof(*p), GFP_KERNEL);
	volatile int n = volatile_ten + 10;

	memset(p->name, 0, n);
	kfree(p);
	return -ECANCELED;
}

static int table[4];

static int __init facts_init(void)
{
	struct sockaddr_in to = at(PORT + 20);
	struct netlink_kernel_cfg cfg = {};
	struct socket *sock, *other;

	if (!*act) {
		all();
		return 0;
	}
	if (!strcmp(act, "init-1"))
		return 1;
	if (!strcmp(act, "exist"))
		return -EEXIST;
	if (!strcmp(act, "warn"))
		WARN_ON(1);
	if (!strcmp(act, "oops"))
		*(volatile int *)(long)volatile_zero = 1;
	if (!strcmp(act, "free-twice"))
		return free_twice();
	if (!strcmp(act, "fortify"))
		return fortify();
	if (!strcmp(act, "sigpipe")) {
		sock = tcp();
		SAY("sigpipe", "%d\n", put(sock, NULL, 10, 0));
		sock_release(sock);
	}
	if (!strcmp(act, "bounds"))
		table[volatile_ten] = 1;
	if (!strcmp(act, "shift"))
		calls = 1 << (volatile_ten * 4);
	if (!strcmp(act, "netlink"))
		unit31 = netlink_kernel_create(&init_net, 31, &cfg);
	if (!strcmp(act, "accept") || !strcmp(act, "listen")) {
		sock = tcp();
		kernel_bind(sock, (void *)&to, sizeof(to));
		kernel_listen(sock, 5);
		if (*act == 'a')
			SAY("accept_killed", "%d\n", kernel_accept(sock, &other, 0));
	}
	return 0;
}

static void __exit facts_exit(void)
{
	if (unit31)
		netlink_kernel_release(unit31);
}

module_init(facts_init);
module_exit(facts_exit);

MODULE_DESCRIPTION("What a kernel does, told line by line in its log");
MODULE_AUTHOR("knetlab");
MODULE_LICENSE("GPL");
