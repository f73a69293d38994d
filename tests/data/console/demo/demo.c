// SPDX-License-Identifier: GPL-2.0
/*
 * demo.c - every mistake the kernel can tell of, one for each value of "fault".
 *
 * tools/record_consoles.py loads it and keeps what the kernel says; the tests
 * look for the lines with a comment "@ NAME" to know where each fault is. What
 * a fault does is wrong on purpose; volatile keeps the compiler from seeing it.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/list.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

static char *fault = "";
module_param(fault, charp, 0);
MODULE_PARM_DESC(fault, "the mistake to make");

struct packet {
	int length;
	int port;
	char data[24];
	struct list_head list;
};

static volatile int volatile_zero;
static volatile int volatile_ten = 10;
static DEFINE_SPINLOCK(table_lock);
static DEFINE_SPINLOCK(queue_lock);
static DEFINE_MUTEX(config_lock);
static struct packet *volatile last;
static struct kmem_cache *cache;
static struct timer_list tick;
static LIST_HEAD(packets);

static struct packet *volatile_null(void)
{
	return (struct packet *)(long)volatile_zero;
}

/* --- pointers -------------------------------------------------------------- */

static noinline void null_pointer(void)
{
	volatile_null()->port = 80; /* @ null-dereference */
}

static noinline void null_call(void)
{
	void (*volatile callback)(void) = NULL;

	callback(); /* @ null-call */
	volatile_ten = 10;
}

static noinline void wild_pointer(void)
{
	struct packet *volatile wild = (struct packet *)0x1badb002deadbeefUL;

	volatile_ten = wild->port; /* @ wild-pointer */
}

static noinline void bad_address(void)
{
	struct packet *volatile unmapped = (struct packet *)0xffffc90001234000UL;

	volatile_ten = unmapped->port; /* @ bad-address */
}

static noinline void user_pointer(void)
{
	struct packet *volatile user = (struct packet *)0x493000;

	volatile_ten = user->port; /* @ user-pointer */
}

static noinline void write_constant(void)
{
	static const int answer = 42;
	int *volatile writable = (int *)&answer;

	*writable = 43; /* @ read-only */
	pr_info("the answer is %d\n", answer);
}

static noinline void list_poison(void)
{
	struct packet *packet = kzalloc(sizeof(*packet), GFP_KERNEL);

	list_add(&packet->list, &packets);
	list_del(&packet->list);
	volatile_ten = list_next_entry(packet, list)->port; /* @ list-poison */
}

static noinline int deeper(int level)
{
	volatile char room[512]; /* @ stack-overflow */

	room[level % 512] = level;
	return deeper(level + 1) + room[0];
}

static noinline void stack_overflow(void)
{
	deeper(0);
}

/* --- what the kernel checks by itself --------------------------------------- */

static noinline void divide(void)
{
	volatile_ten = 80 / volatile_zero; /* @ divide */
}

static noinline void bug(void)
{
	BUG_ON(volatile_ten == 10); /* @ bug */
}

static noinline void call_panic(void)
{
	panic("demo: out of order"); /* @ panic */
}

static noinline void check_queue(void)
{
	WARN_ON(volatile_ten > 3); /* @ warning */
}

static noinline void check_port(void)
{
	WARN(volatile_zero == 0, "demo: port %d is no port\n", volatile_zero); /* @ warning-text */
}

static noinline void count_too_low(void)
{
	static refcount_t users = REFCOUNT_INIT(1);

	refcount_dec(&users); /* @ refcount-leak */
	volatile_ten = 10;
}

static noinline void put_twice(void)
{
	static refcount_t users = REFCOUNT_INIT(1);

	if (refcount_dec_and_test(&users))
		pr_info("the last user is gone\n");
	if (refcount_dec_and_test(&users)) /* @ refcount-underflow */
		pr_info("the last user is gone again\n");
	volatile_ten = 10;
}

static noinline void get_after_zero(void)
{
	static refcount_t users = REFCOUNT_INIT(0);

	refcount_inc(&users); /* @ refcount-on-zero */
	volatile_ten = 10;
}

static noinline void add_twice(void)
{
	static struct packet packet;

	list_add(&packet.list, &packets);
	list_add(&packet.list, &packets); /* @ list-add */
	INIT_LIST_HEAD(&packets);
}

static noinline void delete_twice(void)
{
	static struct packet packet;

	list_add(&packet.list, &packets);
	list_del(&packet.list);
	list_del(&packet.list); /* @ list-del */
	INIT_LIST_HEAD(&packets);
}

static noinline void put_too_much(void)
{
	struct sk_buff *skb = alloc_skb(64, GFP_KERNEL);

	skb_put(skb, 4000); /* @ skb-over */
	kfree_skb(skb);
}

static noinline void push_too_much(void)
{
	struct sk_buff *skb = alloc_skb(64, GFP_KERNEL);

	skb_push(skb, 14); /* @ skb-under */
	kfree_skb(skb);
}

static noinline void copy_too_much(void)
{
	static char name[8];

	memcpy(name, fault, volatile_ten + 6); /* @ fortify */
}

static noinline void field_too_small(void)
{
	static struct packet packet;

	memcpy(packet.data, fault, volatile_ten + 20); /* @ field-write */
}

static noinline void show_too_much(void)
{
	unsigned long user = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	char *text = kzalloc(32, GFP_KERNEL);

	if (copy_to_user((char __user *)user, text, volatile_ten + 54)) /* @ copy-overflow */
		volatile_ten = 11;
}

static noinline void show_others(void)
{
	unsigned long user = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_ANONYMOUS | MAP_PRIVATE, 0);

	last = kzalloc(sizeof(*last), GFP_KERNEL);
	if (copy_to_user((char __user *)user, last, volatile_ten + 190)) /* @ usercopy */
		volatile_ten = 11;
}

static noinline void smash_stack(void)
{
	char name[8];
	int i;

	for (i = 0; i < volatile_ten + 20; i++)
		*(volatile char *)(name + i) = 'A';
	pr_info("%.8s\n", name);
} /* @ stack-smash */

/* --- KASAN, UBSAN ----------------------------------------------------------- */

static noinline void forget(struct packet *packet)
{
	kfree(packet); /* @ freed */
}

static noinline struct packet *make(void)
{
	return kzalloc(sizeof(struct packet), GFP_KERNEL); /* @ allocated */
}

static noinline void use_after_free(void)
{
	struct packet *packet = make();

	forget(packet);
	volatile_ten = READ_ONCE(packet->port); /* @ use-after-free */
}

static noinline void double_free(void)
{
	struct packet *packet = make();

	last = packet;
	forget(packet);
	kfree(last); /* @ double-free */
}

static noinline void invalid_free(void)
{
	last = make();
	kfree((char *)last + volatile_ten); /* @ invalid-free */
}

static noinline void slab_out_of_bounds(void)
{
	char *text = kmalloc(volatile_ten, GFP_KERNEL);

	last = (void *)text;
	text[volatile_ten] = 0; /* @ slab-out-of-bounds */
	kfree(text);
}

static noinline void string_out_of_bounds(void)
{
	char *text = kmalloc(volatile_ten - 2, GFP_KERNEL);

	last = (void *)text;
	strcpy((char *)last, "longer than eight"); /* @ string-out-of-bounds */
	kfree(text);
}

static int ports[4] = { 21, 22, 23, 25 };

static noinline void global_out_of_bounds(void)
{
	int *volatile first = ports;

	volatile_ten = first[volatile_zero + 4]; /* @ global-out-of-bounds */
}

static noinline void stack_out_of_bounds(void)
{
	char name[16];
	char *volatile first = name;

	memset(name, 0, sizeof(name));
	volatile_ten = first[volatile_zero + 16]; /* @ stack-out-of-bounds */
}

static noinline void vmalloc_out_of_bounds(void)
{
	char *volatile area = vmalloc(5000);

	area[volatile_zero + 5001] = 1; /* @ vmalloc-out-of-bounds */
	vfree(area);
}

static noinline void page_use_after_free(void)
{
	char *volatile page = (char *)__get_free_page(GFP_KERNEL);

	free_page((unsigned long)page);
	volatile_ten = page[volatile_zero]; /* @ page-use-after-free */
}

static noinline void array_index(void)
{
	pr_info("port %d\n", ports[volatile_ten]); /* @ ubsan-array */
}

static noinline void shift(void)
{
	volatile_ten = 1 << (volatile_ten + 30); /* @ ubsan-shift */
}

static noinline void load_bool(void)
{
	static volatile char raw = 7;

	volatile_ten = *(bool *)&raw ? 10 : 11; /* @ ubsan-bool */
}

/* --- locks, sleeping, RCU ---------------------------------------------------- */

static noinline void sleep_with_lock(void)
{
	spin_lock(&table_lock);
	last = kmalloc(sizeof(*last), GFP_KERNEL); /* @ atomic-sleep */
	spin_unlock(&table_lock);
}

static noinline void mutex_with_irqs_off(void)
{
	unsigned long flags;

	local_irq_save(flags);
	mutex_lock(&config_lock); /* @ atomic-sleep-irqs-off */
	mutex_unlock(&config_lock);
	local_irq_restore(flags);
}

static noinline void sleep_in_rcu(void)
{
	rcu_read_lock();
	last = kmalloc(sizeof(*last), GFP_KERNEL); /* @ atomic-sleep-rcu */
	rcu_read_unlock();
}

static noinline void schedule_with_lock(void)
{
	spin_lock(&table_lock);
	schedule_timeout_uninterruptible(2); /* @ scheduling-while-atomic */
	spin_unlock(&table_lock);
}

static noinline void keep_lock(void)
{
	spin_lock(&table_lock);
}

static void sleepy_tick(struct timer_list *timer)
{
	mutex_lock(&config_lock); /* @ atomic-sleep-timer */
	mutex_unlock(&config_lock);
}

static noinline void sleep_in_timer(void)
{
	timer_setup(&tick, sleepy_tick, 0);
	mod_timer(&tick, jiffies + 1);
}

static noinline void take_both(void)
{
	spin_lock(&table_lock);
	spin_lock(&queue_lock); /* @ lockdep-inversion-first */
	spin_unlock(&queue_lock);
	spin_unlock(&table_lock);
}

static noinline void lock_inversion(void)
{
	take_both();
	spin_lock(&queue_lock);
	spin_lock(&table_lock); /* @ lockdep-inversion */
	spin_unlock(&table_lock);
	spin_unlock(&queue_lock);
}

static noinline void lock_recursion(void)
{
	mutex_lock(&config_lock); /* @ lockdep-recursion-first */
	mutex_lock(&config_lock); /* @ lockdep-recursion */
}

static void locking_tick(struct timer_list *timer)
{
	spin_lock(&table_lock); /* @ lockdep-softirq */
	spin_unlock(&table_lock);
}

static noinline void lock_in_softirq(void)
{
	spin_lock(&table_lock); /* @ lockdep-softirq-first */
	spin_unlock(&table_lock);
	timer_setup(&tick, locking_tick, 0);
	mod_timer(&tick, jiffies + 1);
}

static noinline void lock_order_in_softirq(void)
{
	spin_lock_bh(&table_lock);
	spin_unlock_bh(&table_lock);
	timer_setup(&tick, locking_tick, 0);
	mod_timer(&tick, jiffies + 1);
	msleep(50);
	spin_lock(&queue_lock);
	spin_unlock(&queue_lock);
	spin_lock_bh(&table_lock);
	spin_lock(&queue_lock); /* @ lockdep-unsafe-order */
	spin_unlock(&queue_lock);
	spin_unlock_bh(&table_lock);
}

static noinline void lock_not_initialised(void)
{
	spinlock_t *lock = kzalloc(sizeof(*lock), GFP_KERNEL);

	spin_lock(lock); /* @ lockdep-uninitialised */
	spin_unlock(lock);
	kfree(lock);
}

static noinline void unlock_twice(void)
{
	mutex_lock(&config_lock);
	mutex_unlock(&config_lock);
	mutex_unlock(&config_lock); /* @ lockdep-unlock */
}

static noinline void return_locked(void)
{
	mutex_lock(&config_lock); /* @ lockdep-held */
}

static noinline void free_locked(void)
{
	struct mutex *lock = kzalloc(sizeof(*lock), GFP_KERNEL);

	mutex_init(lock);
	mutex_lock(lock);
	kfree(lock); /* @ lockdep-freed */
}

static noinline void rcu_unprotected(void)
{
	static struct packet __rcu *shared;

	last = rcu_dereference(shared); /* @ rcu */
}

/* --- waiting for ever --------------------------------------------------------- */

static noinline void wait_for_client(void)
{
	for (;;)
		volatile_ten = 10; /* @ loop */
}

static noinline void spin(void)
{
	preempt_disable();
	wait_for_client();
}

static noinline void hang(void)
{
	local_irq_disable();
	wait_for_client();
}

static noinline void stall(void)
{
	rcu_read_lock();
	ssleep(60); /* @ stall */
	rcu_read_unlock();
}

static noinline void wait_for_nobody(void)
{
	static DECLARE_COMPLETION(never);

	wait_for_completion(&never); /* @ hung-task */
	volatile_ten = 10;
}

/* --- what is left behind ------------------------------------------------------ */

static void careless_tick(struct timer_list *timer)
{ /* @ careless */
	mod_timer(&tick, jiffies + 10);
}

static noinline void leave_timer(void)
{
	timer_setup(&tick, careless_tick, 0);
	mod_timer(&tick, jiffies + 10);
}

static noinline void free_timer(void)
{
	struct timer_list *timer = kzalloc(sizeof(*timer), GFP_KERNEL);

	timer_setup(timer, careless_tick, 0);
	mod_timer(timer, jiffies + 1000);
	kfree(timer); /* @ debug-objects */
	tick.function = NULL;
}

static void construct(void *object)
{
}

static noinline void leave_objects(void)
{
	/* with a constructor it is not merged with another cache */
	cache = kmem_cache_create("demo_packets", 200, 0, 0, construct);
	last = kmem_cache_alloc(cache, GFP_KERNEL);
}

static noinline void leak(void)
{
	int i;

	for (i = 0; i < 3; i++)
		last = kmalloc(100, GFP_KERNEL); /* @ memory-leak */
	last = NULL;
}

static noinline void leave_reference(void)
{
	if (!dev_get_by_name(&init_net, "demo0")) /* never dev_put() */
		pr_info("no device demo0\n");
}

static const struct {
	const char *name;
	void (*make)(void);
} faults[] = {
	{ "null-dereference", null_pointer },
	{ "null-call", null_call },
	{ "wild-pointer", wild_pointer },
	{ "bad-address", bad_address },
	{ "user-pointer", user_pointer },
	{ "read-only", write_constant },
	{ "list-poison", list_poison },
	{ "stack-overflow", stack_overflow },
	{ "divide", divide },
	{ "bug", bug },
	{ "panic", call_panic },
	{ "warning", check_queue },
	{ "warning-text", check_port },
	{ "refcount-leak", count_too_low },
	{ "refcount-underflow", put_twice },
	{ "refcount-on-zero", get_after_zero },
	{ "list-add", add_twice },
	{ "list-del", delete_twice },
	{ "skb-over", put_too_much },
	{ "skb-under", push_too_much },
	{ "fortify", copy_too_much },
	{ "field-write", field_too_small },
	{ "copy-overflow", show_too_much },
	{ "usercopy", show_others },
	{ "stack-smash", smash_stack },
	{ "use-after-free", use_after_free },
	{ "double-free", double_free },
	{ "invalid-free", invalid_free },
	{ "slab-out-of-bounds", slab_out_of_bounds },
	{ "string-out-of-bounds", string_out_of_bounds },
	{ "global-out-of-bounds", global_out_of_bounds },
	{ "stack-out-of-bounds", stack_out_of_bounds },
	{ "vmalloc-out-of-bounds", vmalloc_out_of_bounds },
	{ "page-use-after-free", page_use_after_free },
	{ "ubsan-array", array_index },
	{ "ubsan-shift", shift },
	{ "ubsan-bool", load_bool },
	{ "atomic-sleep", sleep_with_lock },
	{ "atomic-sleep-irqs-off", mutex_with_irqs_off },
	{ "atomic-sleep-rcu", sleep_in_rcu },
	{ "atomic-sleep-timer", sleep_in_timer },
	{ "scheduling-while-atomic", schedule_with_lock },
	{ "lock-kept", keep_lock },
	{ "lockdep-inversion", lock_inversion },
	{ "lockdep-recursion", lock_recursion },
	{ "lockdep-softirq", lock_in_softirq },
	{ "lockdep-unsafe-order", lock_order_in_softirq },
	{ "lockdep-uninitialised", lock_not_initialised },
	{ "lockdep-unlock", unlock_twice },
	{ "lockdep-held", return_locked },
	{ "lockdep-freed", free_locked },
	{ "rcu", rcu_unprotected },
	{ "spin", spin },
	{ "hang", hang },
	{ "stall", stall },
	{ "hung-task", wait_for_nobody },
	{ "leave-timer", leave_timer },
	{ "debug-objects", free_timer },
	{ "leave-objects", leave_objects },
	{ "memory-leak", leak },
	{ "leave-reference", leave_reference },
};

static int __init demo_init(void)
{ /* @ demo_init */
	int i;

	if (!strcmp(fault, "init"))
		BUG(); /* @ init */
	for (i = 0; i < ARRAY_SIZE(faults); i++)
		if (!strcmp(faults[i].name, fault))
			faults[i].make();
	return 0;
}

static void __exit demo_exit(void)
{
	if (!strcmp(fault, "exit"))
		BUG(); /* @ exit */
	kmem_cache_destroy(cache); /* @ objects-left */
	cache = NULL;
}

module_init(demo_init);
module_exit(demo_exit);
MODULE_DESCRIPTION("Mistakes on purpose");
MODULE_LICENSE("GPL");
