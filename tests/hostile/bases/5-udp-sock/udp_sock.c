// SPDX-License-Identifier: GPL-2.0
/*
 * Send a UDP datagram from the kernel.
 *
 * Loading the module sends one message from 127.0.0.1:60000 to port 60001 of
 * the same host. A netcat that waits there (/bin/nc -u -l 127.0.0.1 60001) prints
 *
 *   kernelsocket
 *
 * and insmod succeeds, whether somebody was there to hear it or not: UDP does
 * not ask. The socket stays open until the module is unloaded.
 */

#include <linux/in.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/socket.h>
#include <linux/string.h>
#include <linux/uio.h>
#include <net/net_namespace.h>

#define MY_UDP_LOCAL_PORT	60000
#define MY_UDP_REMOTE_PORT	60001
#define MY_TEST_MESSAGE		"kernelsocket\n"

/*
 * TODO 5 begin: declare sock, a static pointer to a struct socket. Init creates
 * the socket and exit releases it.
 */
static struct socket *sock;
/* TODO 5 end */

/* Give the socket an address, so that the receiver sees who sent the message. */
static int __init my_udp_bind(void)
{
	/*
	 * TODO 5 begin: bind the socket to 127.0.0.1 (INADDR_LOOPBACK) and the
	 * port MY_UDP_LOCAL_PORT, as you did for TCP. Return the error if this
	 * fails.
	 */
	struct sockaddr_in addr = {
		.sin_family		= AF_INET,
		.sin_port		= htons(MY_UDP_LOCAL_PORT),
		.sin_addr.s_addr	= htonl(INADDR_LOOPBACK),
	};

	return kernel_bind(sock, (void *)&addr, sizeof(addr));
	/* TODO 5 end */
	/* TODO 5 skeleton: return 0; */
}

/* Send MY_TEST_MESSAGE to 127.0.0.1:MY_UDP_REMOTE_PORT. */
static int __init my_udp_msgsend(void)
{
	/*
	 * TODO 5 begin: send the message. Three structures describe it: struct
	 * sockaddr_in the destination, struct msghdr the message (msg_name
	 * points to the destination, msg_namelen is its size, all else is
	 * zero), and struct kvec the bytes and their number. Look up
	 * kernel_sendmsg(). It returns the number of bytes sent, or a negative
	 * error: this function returns 0 or the error.
	 */
	struct sockaddr_in to = {
		.sin_family		= AF_INET,
		.sin_port		= htons(MY_UDP_REMOTE_PORT),
		.sin_addr.s_addr	= htonl(INADDR_LOOPBACK),
	};
	struct msghdr msg = {
		.msg_name	= &to,
		.msg_namelen	= sizeof(to),
	};
	struct kvec vec = {
		.iov_base	= MY_TEST_MESSAGE,
		.iov_len	= strlen(MY_TEST_MESSAGE),
	};
	int sent;

	sent = kernel_sendmsg(sock, &msg, &vec, 1, vec.iov_len);

	return sent < 0 ? sent : 0;
	/* TODO 5 end */
	/* TODO 5 skeleton: return 0; */
}

static int __init my_udp_sock_init(void)
{
	int err;

	/*
	 * TODO 5 begin: create a UDP socket of the namespace init_net in sock:
	 * sock_create_kern() with SOCK_DGRAM and IPPROTO_UDP. If it fails,
	 * return the error.
	 */
	err = sock_create_kern(&init_net, PF_INET, SOCK_DGRAM, IPPROTO_UDP,
			       &sock);
	if (err)
		return err;
	/* TODO 5 end */

	err = my_udp_bind();
	if (err)
		goto out_release;

	err = my_udp_msgsend();
	if (err)
		goto out_release;

	return 0;

out_release:
	/* TODO 5 begin: release the socket. */
	sock_release(sock);
	/* TODO 5 end */
	return err;
}

static void __exit my_udp_sock_exit(void)
{
	/* TODO 5 begin: release the socket. */
	sock_release(sock);
	/* TODO 5 end */
}

module_init(my_udp_sock_init);
module_exit(my_udp_sock_exit);

MODULE_DESCRIPTION("Send a UDP datagram from the kernel");
MODULE_AUTHOR("knetlab");
MODULE_LICENSE("GPL");
