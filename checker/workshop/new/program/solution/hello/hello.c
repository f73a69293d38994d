// SPDX-License-Identifier: GPL-2.0
/*
 * Greet somebody.
 *
 *   hello NAME
 */
#include <stdio.h>

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: hello NAME\n");
		return 2;
	}
	/* TODO 1 begin: print hello, a blank, the name, and an end of line. */
	printf("hello %s\n", argv[1]);
	/* TODO 1 end */
	return 0;
}
