// SPDX-License-Identifier: GPL-2.0
/*
 * calls.c - what compiles on one kernel and not on another.
 *
 * tests/vm/test_kernels_page.py compiles it once a kernel. A line "@ NAME" begins what
 * is looked at under that name; errors and warnings belong to the last such line above
 * them. Nothing of it is ever linked or loaded.
 */
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/in.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysctl.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include <net/flow.h>
#include <net/genetlink.h>
#include <net/sock.h>

struct thing {
	struct timer_list timer;
};

static struct sockaddr_in in;
static struct socket *sock, *new_sock;
static struct timer_list timer;
static struct genl_info info;
static char text[16];
static int number;

static unsigned int hook(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	return NF_ACCEPT;
}

#define CALL(name) static int __used call_##name(void)

/* @ bind-sockaddr */
CALL(1) { return kernel_bind(sock, (struct sockaddr *)&in, sizeof(in)); }
/* @ bind-unsized */
CALL(2) { return kernel_bind(sock, (struct sockaddr_unsized *)&in, sizeof(in)); }
/* @ bind-void */
CALL(3) { return kernel_bind(sock, (void *)&in, sizeof(in)); }
/* @ bind-no-cast */
CALL(4) { return kernel_bind(sock, &in, sizeof(in)); }
/* @ connect-sockaddr */
CALL(5) { return kernel_connect(sock, (struct sockaddr *)&in, sizeof(in), 0); }
/* @ ops-bind-sockaddr */
CALL(6) { return sock->ops->bind(sock, (struct sockaddr *)&in, sizeof(in)); }
/* @ ops-connect-sockaddr */
CALL(7) { return sock->ops->connect(sock, (struct sockaddr *)&in, sizeof(in), 0); }
/* @ getsockname-sockaddr */
CALL(8) { return kernel_getsockname(sock, (struct sockaddr *)&in); }
/* @ getpeername-sockaddr */
CALL(9) { return kernel_getpeername(sock, (struct sockaddr *)&in); }
/* @ getsockname-unsized */
CALL(10) { return kernel_getsockname(sock, (struct sockaddr_unsized *)&in); }
/* @ accept-flags */
CALL(11) { return sock->ops->accept(sock, new_sock, 0, true); }
/* @ accept-argument */
CALL(12) { return sock->ops->accept(sock, new_sock, &(struct proto_accept_arg){.kern = true}); }
/* @ kernel-accept */
CALL(13) { return kernel_accept(sock, &new_sock, 0); }

/* @ from-timer */
CALL(20) { struct thing *thing = from_timer(thing, &timer, timer); return !thing; }
/* @ timer-container-of */
CALL(21) { struct thing *thing = timer_container_of(thing, &timer, timer); return !thing; }
/* @ del-timer */
CALL(22) { return del_timer(&timer); }
/* @ del-timer-sync */
CALL(23) { return del_timer_sync(&timer); }
/* @ timer-delete-sync */
CALL(24) { return timer_delete_sync(&timer); }
/* @ timer-shutdown-sync */
CALL(25) { return timer_shutdown_sync(&timer); }
/* @ hrtimer-init */
CALL(26) { hrtimer_init((struct hrtimer *)text, CLOCK_MONOTONIC, HRTIMER_MODE_REL); return 0; }
/* @ hrtimer-setup */
CALL(27) { hrtimer_setup((struct hrtimer *)text, NULL, CLOCK_MONOTONIC, HRTIMER_MODE_REL); return 0; }

/* @ class-create-owner */
CALL(30) { return !class_create(THIS_MODULE, "x"); }
/* @ class-create-name */
CALL(31) { return !class_create("x"); }
/* @ devnode */
CALL(32) { struct class *c = NULL; char *(*f)(struct device *, umode_t *) = NULL; c->devnode = f; return 0; }
/* @ devnode-const */
CALL(33) { struct class *c = NULL; char *(*f)(const struct device *, umode_t *) = NULL; c->devnode = f; return 0; }
/* @ no-llseek */
CALL(34) { static const struct file_operations fops = {.llseek = no_llseek}; return !fops.open; }
/* @ proc-file-operations */
CALL(35) { static const struct file_operations fops; return !proc_create("x", 0, NULL, &fops); }
/* @ proc-ops */
CALL(36) { static const struct proc_ops ops; return !proc_create("x", 0, NULL, &ops); }

/* @ hook-positional */
static struct nf_hook_ops positional = {hook, NULL, NULL, NFPROTO_IPV4};
/* @ hook-named */
static struct nf_hook_ops __used named = {.hook = hook, .pf = NFPROTO_IPV4};

/* @ strlcpy */
CALL(40) { strlcpy(text, "x", 3); return 0; }
/* @ strncpy */
CALL(41) { strncpy(text, "x", 3); return 0; }
/* @ strscpy-2 */
CALL(42) { strscpy(text, "x"); return 0; }
/* @ strscpy-3 */
CALL(43) { strscpy(text, "x", 3); return 0; }
/* @ prandom-u32-max */
CALL(44) { return prandom_u32_max(4); }
/* @ random-below */
CALL(45) { return get_random_u32_below(4); }
/* @ guard */
CALL(46) { static DEFINE_MUTEX(lock); guard(mutex)(&lock); return 0; }
/* @ free */
CALL(47) { char *p __free(kfree) = kmalloc(3, GFP_KERNEL); return !p; }
/* @ kmalloc-obj */
CALL(48) { struct thing *p = kmalloc_obj(*p, GFP_KERNEL); kfree(p); return 0; }
/* @ nested */
CALL(49) { struct { struct thing; } nested; return timer_pending(&nested.timer); }

/* @ kernel-sendpage */
CALL(50) { return kernel_sendpage(sock, NULL, 0, 0, 0); }
/* @ sysctl-table */
CALL(51) { static struct ctl_table table[2]; return !register_sysctl_table(table); }
/* @ genl-userhdr */
CALL(52) { return !info.userhdr; }
/* @ genl-info-userhdr */
CALL(53) { return !genl_info_userhdr(&info); }
/* @ genl-nlhdr-write */
CALL(54) { info.nlhdr->nlmsg_flags = 0; return 0; }
/* @ netlink-cb-mutex */
CALL(55) { static struct netlink_kernel_cfg cfg = {.cb_mutex = NULL}; return !cfg.input; }
/* @ flow-tos */
CALL(56) { static struct flowi4 flow; flow.flowi4_tos = 0; return 0; }
/* @ flow-dscp */
CALL(57) { static struct flowi4 flow; flow.flowi4_dscp = 0; return 0; }
/* @ percpu-queue */
CALL(58) { return queue_work(system_percpu_wq, NULL) || alloc_workqueue("x", WQ_PERCPU, 0); }
/* @ proto-connect */
CALL(59) { static struct proto p; int (*f)(struct sock *, struct sockaddr *, int) = NULL; p.connect = f; return 0; }
/* @ proto-recvmsg-5 */
CALL(60) { static struct proto p; int (*f)(struct sock *, struct msghdr *, size_t, int, int *) = NULL; p.recvmsg = f; return 0; }
/* @ proto-ioctl-long */
CALL(61) { static struct proto p; int (*f)(struct sock *, int, unsigned long) = NULL; p.ioctl = f; return 0; }
/* @ base-full */
CALL(62) { return CONFIG_BASE_FULL; }

/* @ set-fs */
CALL(70) { set_fs(KERNEL_DS); return 0; }
/* @ gettimeofday */
CALL(71) { struct timeval now; do_gettimeofday(&now); return 0; }
/* @ init-timer */
CALL(72) { init_timer(&timer); return 0; }
/* @ nf-register-hook */
CALL(73) { return nf_register_hook(&named); }
/* @ nipquad */
CALL(74) { pr_info("%d.%d.%d.%d\n", NIPQUAD(in.sin_addr.s_addr)); return 0; }
/* @ kernel-setsockopt */
CALL(75) { return kernel_setsockopt(sock, 0, 0, text, 3); }

/* @ prototype */
int without_prototype(void) { return 3; }
/* @ int-from-pointer */
CALL(80) { int n = text; return n; }
/* @ variable-array */
CALL(81) { int many[number]; many[0] = 0; return many[0]; }
