// SPDX-License-Identifier: GPL-2.0
/*
 * witness.c - stands in the way of another module: lets an allocation in its
 * init function fail, or holds a major number that it wants.
 *
 * Writing N to /sys/module/witness/parameters/nth arms the next module that is
 * loaded: the Nth allocation in its init function fails, those of the module
 * loader before it and whatever comes after it do not. Reading says how many
 * allocations were still to come when init returned: 0, one has failed.
 * The parameters text and init say where the code of the module that was loaded
 * last lies, so that addresses in reports can be understood when it is gone.
 *
 * The parameter major, given when witness is loaded, is a major number to hold.
 *
 * The failing itself is the kernel's own (Documentation/fault-injection).
 */

#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/sched.h>
#include <linux/version.h>

static unsigned int nth;
module_param(nth, uint, 0600);

static unsigned long text;
module_param(text, ulong, 0400);

static unsigned long init;
module_param(init, ulong, 0400);

static unsigned int major;
module_param(major, uint, 0400);

static const struct file_operations no_operations = {
	.owner = THIS_MODULE,
};

#if defined(CONFIG_FAULT_INJECTION) && defined(CONFIG_KRETPROBES)
static bool armed;

static int entry(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	armed = nth;
	if (armed)
		current->fail_nth = nth;
	return 0;
}
NOKPROBE_SYMBOL(entry);

static int leave(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	if (armed)
		nth = current->fail_nth;
	armed = false;
	current->fail_nth = 0;
	return 0;
}
NOKPROBE_SYMBOL(leave);

static struct kretprobe probe = {
	.kp.symbol_name	= "do_one_initcall",
	.entry_handler	= entry,
	.handler	= leave,
};

static int on_module(struct notifier_block *block, unsigned long state, void *data)
{
	struct module *module = data;

	if (state == MODULE_STATE_COMING) {
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
		text = (unsigned long)module->mem[MOD_TEXT].base;
		init = (unsigned long)module->mem[MOD_INIT_TEXT].base;
#else
		text = (unsigned long)module->core_layout.base;
		init = (unsigned long)module->init_layout.base;
#endif
	}
	return NOTIFY_DONE;
}

static struct notifier_block modules = {
	.notifier_call	= on_module,
};

static int start(void)
{
	int err = register_module_notifier(&modules);

	if (err)
		return err;
	err = register_kretprobe(&probe);
	if (err)
		unregister_module_notifier(&modules);
	return err;
}

static void stop(void)
{
	unregister_kretprobe(&probe);
	unregister_module_notifier(&modules);
}
#else
static int start(void)
{
	return 0;
}

static void stop(void)
{
}
#endif

static int __init witness_init(void)
{
	int err = start();

	if (err || !major)
		return err;
	err = register_chrdev(major, "witness", &no_operations);
	if (err)
		stop();
	return err;
}

static void __exit witness_exit(void)
{
	if (major)
		unregister_chrdev(major, "witness");
	stop();
}

module_init(witness_init);
module_exit(witness_exit);

MODULE_DESCRIPTION("Lets an allocation in another module's init function fail");
MODULE_AUTHOR("knetlab");
MODULE_LICENSE("GPL");
