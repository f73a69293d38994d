// SPDX-License-Identifier: GPL-2.0
/*
 * A TCP server that lives in the kernel.
 *
 * Loading the module opens a socket that listens on 127.0.0.1:60000, which
 * netstat -ltn shows, and then waits for one client: insmod returns when it
 * has come, and the kernel log (dmesg) says who it is:
 *
 *   connection established to 127.0.0.1:44716
 *
 * Unloading closes both the connection and the listening socket. A signal to
 * the waiting insmod (Ctrl-C) ends the wait, and the module is not loaded.
 */

#include <linux/in.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/net.h>
#include <net/net_namespace.h>

#define MY_TCP_PORT	60000
#define LISTEN_BACKLOG	5

/*
 * TODO 3 begin: declare sock, a static pointer to a struct socket, for the
 * socket that listens. Init creates the socket and exit releases it, so the
 * pointer has to live outside both functions.
 */
static struct socket *sock;	/* listens on 127.0.0.1:MY_TCP_PORT */
/* TODO 3 end */

/*
 * TODO 4 begin: declare new_sock in the same way, for the connection that was
 * accepted.
 */
static struct socket *new_sock;	/* the connection that was accepted */
/* TODO 4 end */

static inline void print_sock_address(const struct sockaddr_in *addr)
{
	pr_info("connection established to %pI4:%u\n",
		&addr->sin_addr, ntohs(addr->sin_port));
}

/* Make the socket listen on 127.0.0.1:MY_TCP_PORT. */
static int __init my_listen(void)
{
	/*
	 * TODO 3 begin: bind the socket to the address 127.0.0.1
	 * (INADDR_LOOPBACK) and the port MY_TCP_PORT, then let it listen with a
	 * backlog of LISTEN_BACKLOG. Look up struct sockaddr_in, htons() and
	 * htonl(), kernel_bind() and kernel_listen(). Cast the pointer to the
	 * address to void *: the type of the parameter is not the same on all
	 * kernels, and void * fits each of them. Each of the two calls can
	 * fail: return its error.
	 */
	struct sockaddr_in addr = {
		.sin_family		= AF_INET,
		.sin_port		= htons(MY_TCP_PORT),
		.sin_addr.s_addr	= htonl(INADDR_LOOPBACK),
	};
	int err;

	err = kernel_bind(sock, (void *)&addr, sizeof(addr));
	if (err)
		return err;

	return kernel_listen(sock, LISTEN_BACKLOG);
	/* TODO 3 end */
	/* TODO 3 skeleton: return 0; */
}

/* Wait for a client and say who it is. */
static int __init my_accept(void)
{
	/*
	 * TODO 4 begin: accept a connection into new_sock, and get the address
	 * of the other side into a struct sockaddr_in. Look up kernel_accept(),
	 * with 0 for its flags, and kernel_getpeername(), which returns the
	 * length of the address when it works, and a negative error when it
	 * does not: then new_sock is yours to release. Log the address with
	 * print_sock_address().
	 */
	struct sockaddr_in raddr;
	int err;

	err = kernel_accept(sock, &new_sock, 0);
	if (err)
		return err;

	err = kernel_getpeername(new_sock, (void *)&raddr);
	if (err < 0) {
		sock_release(new_sock);
		return err;
	}

	print_sock_address(&raddr);

	return 0;
	/* TODO 4 end */
	/* TODO 4 skeleton: return 0; */
}

static int __init my_tcp_sock_init(void)
{
	int err;

	/*
	 * TODO 3 begin: create a TCP socket of the namespace init_net in sock.
	 * Look up sock_create_kern(), PF_INET, SOCK_STREAM and IPPROTO_TCP. If
	 * it fails, there is nothing to undo: return the error.
	 */
	err = sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP,
			       &sock);
	if (err)
		return err;
	/* TODO 3 end */

	err = my_listen();
	if (err)
		goto out_release;

	err = my_accept();
	if (err)
		goto out_release;

	return 0;

out_release:
	/* TODO 3 begin: release the listening socket. Look up sock_release(). */
	sock_release(sock);
	/* TODO 3 end */
	return err;
}

static void __exit my_tcp_sock_exit(void)
{
	/* TODO 4 begin: release the connection that was accepted. */
	sock_release(new_sock);
	/* TODO 4 end */
	/* TODO 3 begin: release the listening socket. */
	sock_release(sock);
	/* TODO 3 end */
}

module_init(my_tcp_sock_init);
module_exit(my_tcp_sock_exit);

MODULE_DESCRIPTION("A TCP server that lives in the kernel");
MODULE_AUTHOR("knetlab");
MODULE_LICENSE("GPL");
