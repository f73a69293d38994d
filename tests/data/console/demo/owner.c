// SPDX-License-Identifier: GPL-2.0
/*
 * owner.c - init waits for a mutex that a thread never gives back; it is a module of its own,
 * so that the lines of demo.c stay where they are.
 */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>

static DEFINE_MUTEX(table_lock);
static DECLARE_COMPLETION(taken);

static int keep_lock(void *unused)
{
	mutex_lock(&table_lock);
	complete(&taken);
	while (!kthread_should_stop())
		schedule_timeout_idle(MAX_SCHEDULE_TIMEOUT); /* @ hung-mutex-owner */
	return 0;
}

static noinline void wait_for_lock(void)
{
	mutex_lock(&table_lock); /* @ hung-mutex */
	mutex_unlock(&table_lock);
}

static int __init demo_init(void)
{
	if (IS_ERR(kthread_run(keep_lock, NULL, "keeper")))
		return -ENOMEM;
	wait_for_completion(&taken);
	wait_for_lock();
	return 0;
}

static void __exit demo_exit(void)
{
}

module_init(demo_init);
module_exit(demo_exit);
MODULE_DESCRIPTION("A mutex that is kept");
MODULE_LICENSE("GPL");
