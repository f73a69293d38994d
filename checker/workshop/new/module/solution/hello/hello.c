// SPDX-License-Identifier: GPL-2.0
/*
 * Tell a word in a file.
 *
 *   insmod hello.ko word=abc
 *   cat /proc/driver/hello
 */

#include <linux/init.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#define PATH	"driver/hello"

static char *word = "hello";
module_param(word, charp, 0444);
MODULE_PARM_DESC(word, "the word that /proc/driver/hello holds");

static int hello_show(struct seq_file *file, void *unused)
{
	/* TODO 1 begin: print the word and an end of line to the file. */
	seq_printf(file, "%s\n", word);
	/* TODO 1 end */
	return 0;
}

static int __init hello_init(void)
{
	if (!proc_create_single(PATH, 0444, NULL, hello_show))
		return -ENOMEM;
	return 0;
}

static void __exit hello_exit(void)
{
	remove_proc_entry(PATH, NULL);
}

module_init(hello_init);
module_exit(hello_exit);

MODULE_DESCRIPTION("Tell a word in a file");
MODULE_AUTHOR("knetlab");
MODULE_LICENSE("GPL");
