// SPDX-License-Identifier: GPL-2.0
/*
 * witness.c - sees what another module allocates and stands in its way.
 *
 * It is loaded before the module under test. Its parameters, in
 * /sys/module/witness/parameters, are how it is used:
 *
 * watch: writing 1 begins to note what is allocated while code of the module
 * that was loaded last is on the stack, slab objects and per-CPU memory, and the
 * pages that this code itself asks for; it forgets those that are freed, and 0
 * ends that. What is left stands in /sys/kernel/debug/witness, a line an object:
 * the functions on the stack, from the allocator's caller outwards; those of the
 * module as .text+OFFSET or .init.text+OFFSET, since its names go with it.
 *
 * nth: writing N lets the Nth allocation in the next module's init function
 * fail; those of the module loader before it, and what comes after it, do not.
 * Reading says how many were still to come when init returned: 0, one has
 * failed. The failing itself is the kernel's own
 * (Documentation/fault-injection); a line of the log before it says N.
 *
 * major: writing N holds the major number N, 0 gives it back.
 *
 * refuse: writing names of functions of the kernel, with spaces between, lets each
 * call of one of them return -ENOBUFS at once, without being done; no name ends that.
 *
 * threads: reading says how many kernel threads there are. Workers of workqueues
 * come and go by themselves and do not count, nor does what is ending, or has no
 * name of its own yet.
 *
 * awake: reading says what would still tell on a module: probes (kprobes are
 * hit), locks (lockdep has not been turned off).
 */

#include <linux/debug_locks.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/stacktrace.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <trace/events/percpu.h>

#define OBJECTS	1024
#define FRAMES	20

/* --- the module that was loaded last ------------------------------------------------- */

struct region {
	const char *name;
	unsigned long base, size;
};

static struct region regions[] = { { .name = ".text" }, { .name = ".init.text" } };

static unsigned int nth;

static int on_module(struct notifier_block *block, unsigned long state, void *data)
{
	struct module *module = data;

	if (state != MODULE_STATE_COMING)
		return NOTIFY_DONE;
#ifdef __module_memory_align	/* from 6.4 on a module has several regions */
	regions[0].base = (unsigned long)module->mem[MOD_TEXT].base;
	regions[0].size = module->mem[MOD_TEXT].size;
	regions[1].base = (unsigned long)module->mem[MOD_INIT_TEXT].base;
	regions[1].size = module->mem[MOD_INIT_TEXT].size;
#else
	regions[0].base = (unsigned long)module->core_layout.base;
	regions[0].size = module->core_layout.text_size;
	regions[1].base = (unsigned long)module->init_layout.base;
	regions[1].size = module->init_layout.text_size;
#endif
	if (nth)	/* the kernel tells of most failures, and not by which nth */
		pr_info("witness: allocation %u of %s is to fail\n", nth, module->name);
	return NOTIFY_DONE;
}

static struct notifier_block modules = {
	.notifier_call	= on_module,
};

/* --- what it allocated ----------------------------------------------------------------- */

struct frame {
	const char *region;	/* NULL: a function of the kernel */
	unsigned long at;	/* offset in the region, else address */
};

struct object {
	const void *ptr;	/* NULL: a free slot */
	unsigned int frames;
	struct frame stack[FRAMES];
};

static struct object objects[OBJECTS];
static unsigned int used;	/* slots in use lie below */

/*
 * Neither lockdep nor anybody else is to see this lock: it is taken in
 * tracepoints and probes, wherever they strike.
 */
static arch_spinlock_t lock = __ARCH_SPIN_LOCK_UNLOCKED;

static unsigned long take(void)
{
	unsigned long flags;

	raw_local_irq_save(flags);
	arch_spin_lock(&lock);
	return flags;
}

static void release(unsigned long flags)
{
	arch_spin_unlock(&lock);
	raw_local_irq_restore(flags);
}

/* Is it one of the functions by which code asks for pages, and none that asks for itself? */
static bool gives_pages(unsigned long function)
{
	static const char * const names[] = {
		"alloc_page", "frozen_pages", "folio_alloc", "get_free_page", "get_zeroed_page",
		"mm_page_alloc",
	};
	char name[64];

	snprintf(name, sizeof(name), "%ps", (void *)function);
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (strstr(name, names[i]))
			return true;
	return false;
}

/*
 * Pages count only when the module itself has asked for them: those of slabs,
 * of vmalloc() and of whatever the kernel keeps belong to other objects.
 *
 * Inline, so that the caller of the function that it is in is the first frame.
 */
static __always_inline void note(const void *ptr, bool pages)
{
	unsigned long stack[FRAMES], flags;
	unsigned int n, own = FRAMES;
	struct object object;

	if (!ptr)
		return;
	n = stack_trace_save(stack, FRAMES, 1);
	object.ptr = ptr;
	object.frames = n;
	for (unsigned int i = 0; i < n; i++) {
		object.stack[i] = (struct frame){ .at = stack[i] };
		for (unsigned int r = 0; r < ARRAY_SIZE(regions); r++) {
			if (stack[i] - regions[r].base >= regions[r].size)
				continue;
			object.stack[i].region = regions[r].name;
			object.stack[i].at = stack[i] - regions[r].base;
			own = min(own, i);
		}
	}
	if (own == FRAMES)
		return;
	for (unsigned int i = 0; pages && i < own; i++)
		if (!gives_pages(stack[i]))
			return;
	flags = take();
	for (unsigned int i = 0; i < OBJECTS; i++) {
		if (objects[i].ptr)
			continue;
		objects[i] = object;
		used = max(used, i + 1);
		break;
	}
	release(flags);
}

static void on_alloc(void *data, unsigned long call_site, const void *ptr)
{
	note(ptr, false);
}

static void on_alloc_percpu(void *data, unsigned long call_site, bool reserved, bool is_atomic,
			    size_t size, size_t align, void *base, int off, const void *ptr)
{
	/* other kernels (those before 5.19) have other arguments */
	if (__same_type(trace_percpu_alloc_percpu,
			void (unsigned long, bool, bool, size_t, size_t, void *, int,
			      void __percpu *, size_t, gfp_t)))
		note(ptr, false);
}

static void on_alloc_pages(void *data, const void *page)
{
	note(page, true);
}

static void on_free(void *data, unsigned long call_site, const void *ptr)
{
	unsigned long flags;

	flags = take();
	for (unsigned int i = 0; i < used; i++)
		if (objects[i].ptr == ptr)
			objects[i].ptr = NULL;
	while (used && !objects[used - 1].ptr)
		used--;
	release(flags);
}

static void on_free_percpu(void *data, void *base, int off, const void *ptr)
{
	on_free(NULL, 0, ptr);
}

/* Where pages were split, the first of them stands for all. */
static void on_free_pages(void *data, const void *page)
{
	on_free(NULL, 0, page);
}

/* The tracepoints have more arguments than these, different ones on different kernels. */
static struct watched {
	const char *name;
	void *probe;
	struct tracepoint *tracepoint;
} events[] = {
	{ "kmalloc", on_alloc },
	{ "kmem_cache_alloc", on_alloc },
	{ "kfree", on_free },
	{ "kmem_cache_free", on_free },
	{ "percpu_alloc_percpu", on_alloc_percpu },
	{ "percpu_free_percpu", on_free_percpu },
	{ "mm_page_alloc", on_alloc_pages },
	{ "mm_page_free", on_free_pages },
};

static void find_event(struct tracepoint *tracepoint, void *unused)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++)
		if (!strcmp(tracepoint->name, events[i].name))
			events[i].tracepoint = tracepoint;
}

static bool watch;

#ifdef CONFIG_KPROBES
/* What kfree_rcu() frees goes many objects at a time, and no tracepoint tells. */
static int on_free_bulk(struct kprobe *probe, struct pt_regs *regs)
{
	size_t count = regs_get_kernel_argument(regs, 1);
	void **list = (void **)regs_get_kernel_argument(regs, 2);

	for (size_t i = 0; watch && i < count; i++)
		on_free(NULL, 0, list[i]);
	return 0;
}

/*
 * From 6.18 on it may put them into a per-CPU store of free objects, and nothing tells of
 * that: an object counts as freed when it is handed over.
 */
static int on_free_rcu(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned long object = regs_get_kernel_argument(regs, 1);

	if (object < PAGE_SIZE)	/* in 6.1 it is the place of the rcu_head in the object */
		object = regs_get_kernel_argument(regs, 0) - object;
	if (watch)
		on_free(NULL, 0, (const void *)object);
	return 0;
}

static struct kprobe free_bulk = {
	.symbol_name	= "kmem_cache_free_bulk",
	.pre_handler	= on_free_bulk,
};

static struct kprobe free_rcu = {
	.symbol_name	= "kvfree_call_rcu",
	.pre_handler	= on_free_rcu,
};

static struct kprobe *frees[] = { &free_bulk, &free_rcu };

/* They stay as long as this module: to set a probe, ftrace looks at each function there is. */
static int watch_frees(void)
{
	return register_kprobes(frees, ARRAY_SIZE(frees));
}

static void unwatch_frees(void)
{
	unregister_kprobes(frees, ARRAY_SIZE(frees));
}
#else
static int watch_frees(void)
{
	return 0;
}

static void unwatch_frees(void)
{
}
#endif

static void stop_watching(void)
{
	if (!watch)
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++)
		tracepoint_probe_unregister(events[i].tracepoint, events[i].probe, NULL);
	tracepoint_synchronize_unregister();
	watch = false;
}

static int set_watch(const char *value, const struct kernel_param *param)
{
	bool wanted;
	int err = kstrtobool(value, &wanted);

	if (err)
		return err;
	stop_watching();
	if (!wanted)
		return 0;
	memset(objects, 0, sizeof(objects));
	used = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++) {
		err = events[i].tracepoint ?
			tracepoint_probe_register(events[i].tracepoint, events[i].probe, NULL) :
			-ENOENT;
		if (err) {
			while (i--)
				tracepoint_probe_unregister(events[i].tracepoint, events[i].probe,
							    NULL);
			return err;
		}
	}
	watch = true;
	return 0;
}

static const struct kernel_param_ops watch_ops = {
	.set	= set_watch,
	.get	= param_get_bool,
};
module_param_cb(watch, &watch_ops, &watch, 0600);

static int objects_show(struct seq_file *file, void *unused)
{
	static struct object object;	/* one reader at a time */
	unsigned long flags;

	for (unsigned int i = 0; i < OBJECTS; i++) {
		flags = take();
		object = objects[i];
		release(flags);
		if (!object.ptr)
			continue;
		seq_puts(file, "object");
		for (unsigned int f = 0; f < object.frames; f++) {
			if (object.stack[f].region)
				seq_printf(file, " %s+%#lx", object.stack[f].region,
					   object.stack[f].at);
			else
				seq_printf(file, " %ps", (void *)object.stack[f].at);
		}
		seq_puts(file, "\n");
	}
	return 0;
}

DEFINE_SHOW_ATTRIBUTE(objects);

/* --- what it started ------------------------------------------------------------------- */

static bool counts(const struct task_struct *task)
{
	return task->flags & PF_KTHREAD && !(task->flags & PF_EXITING) &&
	       !strstarts(task->comm, "kworker") && !strstarts(task->comm, "kthreadd");
}

static int get_threads(char *buffer, const struct kernel_param *param)
{
	struct task_struct *task;
	unsigned int found = 0;

	rcu_read_lock();
	for_each_process(task)
		found += counts(task);
	rcu_read_unlock();
	return sysfs_emit(buffer, "%u\n", found);
}

static const struct kernel_param_ops threads_ops = {
	.get	= get_threads,
};
module_param_cb(threads, &threads_ops, NULL, 0400);

/* --- what stands in its way ------------------------------------------------------------- */

static const struct file_operations no_operations = {
	.owner = THIS_MODULE,
};

static unsigned int major;

static int set_major(const char *value, const struct kernel_param *param)
{
	unsigned int wanted;
	int err = kstrtouint(value, 0, &wanted);

	if (err)
		return err;
	if (major)
		unregister_chrdev(major, "witness");
	major = 0;
	err = wanted ? register_chrdev(wanted, "witness", &no_operations) : 0;
	if (!err)
		major = wanted;
	return err;
}

static const struct kernel_param_ops major_ops = {
	.set	= set_major,
	.get	= param_get_uint,
};
module_param_cb(major, &major_ops, &major, 0600);

#if defined(CONFIG_KPROBES) && defined(CONFIG_X86_64)
static char refused[128];

/* Where a function that is refused goes on: it returns to who called that. */
static noinline notrace void at_once(void)
{
	asm volatile("");
}

static int on_refused(struct kprobe *probe, struct pt_regs *regs)
{
	regs_set_return_value(regs, -ENOBUFS);
	instruction_pointer_set(regs, (unsigned long)at_once);
	return 1;	/* the function itself is left out */
}

static struct kprobe refusals[4];
static unsigned int refusing;

static void stop_refusing(void)
{
	while (refusing)
		unregister_kprobe(&refusals[--refusing]);
}

static int set_refuse(const char *value, const struct kernel_param *param)
{
	char *names = refused, *name;
	int err;

	stop_refusing();
	strscpy(refused, value, sizeof(refused));
	while ((name = strsep(&names, "\n "))) {
		if (!*name)
			continue;
		if (refusing == ARRAY_SIZE(refusals))
			return -E2BIG;
		refusals[refusing] = (struct kprobe) {
			.symbol_name = name,
			.pre_handler = on_refused,
		};
		err = register_kprobe(&refusals[refusing]);
		if (err) {
			stop_refusing();
			return err;
		}
		refusing++;
	}
	return 0;
}

static const struct kernel_param_ops refuse_ops = {
	.set	= set_refuse,
};
module_param_cb(refuse, &refuse_ops, NULL, 0200);
#else
static void stop_refusing(void)
{
}
#endif

#if defined(CONFIG_FAULT_INJECTION) && defined(CONFIG_KRETPROBES)
module_param(nth, uint, 0600);

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

static int start_failing(void)
{
	return register_kretprobe(&probe);
}

static void stop_failing(void)
{
	unregister_kretprobe(&probe);
}
#else
static int start_failing(void)
{
	return 0;
}

static void stop_failing(void)
{
}
#endif

/* --- whether anybody looks ---------------------------------------------------------------- */

#ifdef CONFIG_KPROBES
static bool hit;

static noinline void canary(void)
{
	barrier();
}

static int on_canary(struct kprobe *probe, struct pt_regs *regs)
{
	hit = true;
	return 0;
}

static struct kprobe canary_probe = {
	.addr		= (kprobe_opcode_t *)canary,
	.pre_handler	= on_canary,
};

static int start_looking(void)
{
	return register_kprobe(&canary_probe);
}

static void stop_looking(void)
{
	unregister_kprobe(&canary_probe);
}

static bool probes_hit(void)
{
	hit = false;
	canary();
	return READ_ONCE(hit);
}
#else
static int start_looking(void)
{
	return 0;
}

static void stop_looking(void)
{
}

static bool probes_hit(void)
{
	return false;
}
#endif

static int get_awake(char *text, const struct kernel_param *param)
{
	bool locks = IS_ENABLED(CONFIG_LOCKDEP) && debug_locks;

	return sysfs_emit(text, "%s %s\n", probes_hit() ? "probes" : "", locks ? "locks" : "");
}

static const struct kernel_param_ops awake_ops = {
	.get	= get_awake,
};
module_param_cb(awake, &awake_ops, NULL, 0400);

static struct dentry *file;

static int __init witness_init(void)
{
	int err = register_module_notifier(&modules);

	if (err)
		return err;
	err = start_failing();
	if (err)
		goto out_notifier;
	err = start_looking();
	if (err)
		goto out_failing;
	err = watch_frees();
	if (err)
		goto out_looking;
	for_each_kernel_tracepoint(find_event, NULL);
	file = debugfs_create_file("witness", 0400, NULL, NULL, &objects_fops);
	return 0;

out_looking:
	stop_looking();
out_failing:
	stop_failing();
out_notifier:
	unregister_module_notifier(&modules);
	return err;
}

static void __exit witness_exit(void)
{
	debugfs_remove(file);
	stop_watching();
	unwatch_frees();
	stop_looking();
	stop_failing();
	stop_refusing();
	if (major)
		unregister_chrdev(major, "witness");
	unregister_module_notifier(&modules);
}

module_init(witness_init);
module_exit(witness_exit);

MODULE_DESCRIPTION("Sees what another module allocates and stands in its way");
MODULE_AUTHOR("knetlab");
MODULE_LICENSE("GPL");
