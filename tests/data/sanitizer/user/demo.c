/* demo.c - one mistake of each kind that a sanitizer tells; the argument names it. */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int one = 1;
static volatile int ten = 10;
static int numbers[10];
static char *volatile kept;

struct message {
	int length;
	char text[12];
};

static void heap_overflow(void)
{
	char *p = malloc(ten);

	p[ten] = 'x';
	free(p);
}

static void heap_underflow(void)
{
	char *p = malloc(ten);

	putchar(p[-one]);
	free(p);
}

static void string_overflow(void)
{
	char *p = malloc(5);

	strcpy(p, one ? "hello" : "");
	free(p);
}

static void read_overflow(void)
{
	char *p = calloc(1, ten);

	if (write(STDOUT_FILENO, p, ten + 6) < 0)
		perror("write");
	free(p);
}

static void stack_overflow(void)
{
	char text[10];

	memset(text, 0, sizeof(text) + one);
	putchar(text[one]);
}

static void global_overflow(void)
{
	int *p = numbers;

	p[ten + one] = 5;
}

static void use_after_free(void)
{
	struct message *m = calloc(1, sizeof(*m));

	free(m);
	printf("%d\n", m->length);
}

static char *local(void)
{
	char text[20] = "gone";
	char *volatile p = text;

	return p;
}

static void use_after_return(void)
{
	puts(local());
}

static void use_after_scope(void)
{
	char *volatile p = NULL;

	if (one) {
		char text[8] = "gone";

		p = text;
	}
	putchar(*p);
}

static void double_free(void)
{
	char *volatile p = malloc(ten);

	free(p);
	free(p);
}

static void bad_free(void)
{
	char *volatile p = malloc(ten);

	free(p + one);
}

static void stack_free(void)
{
	int x = 5;
	int *volatile p = &x;

	free(p);
}

static void null_write(void)
{
	char *volatile p = NULL;

	memset(p + (one - 1), 0, ten);
}

static void wild_read(void)
{
	char *volatile p = (char *)0x123456789000;

	putchar(*p);
}

static void null_call(void)
{
	void (*volatile call)(void) = NULL;

	call();
}

static int recurse(int n)
{
	volatile char room[4096];

	room[0] = n;
	return recurse(n + one) + room[0];
}

static void stack_exhausted(void)
{
	printf("%d\n", recurse(1));
}

static void overlap(void)
{
	char text[20] = "abcdefghij";

	memcpy(text + one, text, ten);
	puts(text);
}

static void negative_size(void)
{
	char from[20] = "x", to[20];

	memmove(to, from, (size_t)(ssize_t)(one - 2));
	puts(to);
}

static void leak(void)
{
	kept = malloc(33);
	kept = NULL;
}

static void indirect_leak(void)
{
	char **list = malloc(sizeof(*list));

	*list = malloc(ten);
	kept = (char *)list;
	kept = NULL;
}

static void signed_overflow(void)
{
	int x = INT_MAX;

	printf("%d\n", x + one);
}

static void negation(void)
{
	int x = INT_MIN + one - 1;

	printf("%d\n", -x);
}

static void shift_too_far(void)
{
	printf("%d\n", 1 << (31 + one));
}

static void shift_negative(void)
{
	printf("%d\n", one << -one);
}

static void shift_of_sign(void)
{
	printf("%d\n", 255 << (24 * one));
}

static void null_member(void)
{
	struct message *volatile m = NULL;

	m->length = 5;
}

static void misaligned(void)
{
	char bytes[8] = { 0 };
	int *volatile p = (int *)(bytes + one);

	printf("%d\n", *p);
}

static void index_out_of_bounds(void)
{
	printf("%d\n", numbers[ten]);
}

static void divide_by_zero(void)
{
	printf("%d\n", 10 / (one - 1));
}

static void unreachable(void)
{
	if (one)
		__builtin_unreachable();
}

static void bool_value(void)
{
	unsigned char bytes[1] = { (unsigned char)(ten / 2) };
	bool *volatile b = (bool *)bytes;

	printf("%d\n", *b);
}

static void vla_bound(void)
{
	int n = one - 2;
	char text[n];

	text[0] = 0;
	printf("%p\n", (void *)text);
}

static void pointer_overflow(void)
{
	char *volatile p = (char *)-16L;

	printf("%p\n", (void *)(p + ten * 10));
}

static void null_argument(void)
{
	char *volatile p = NULL;
	char text[4];

	memcpy(text, p, one - 1);
	putchar('\n');
}

#define CASE(name) { #name, name }

static const struct {
	const char *name;
	void (*mistake)(void);
} cases[] = {
	CASE(heap_overflow), CASE(heap_underflow), CASE(string_overflow), CASE(read_overflow),
	CASE(stack_overflow), CASE(global_overflow), CASE(use_after_free), CASE(use_after_return),
	CASE(use_after_scope), CASE(double_free), CASE(bad_free), CASE(stack_free),
	CASE(null_write), CASE(wild_read), CASE(null_call), CASE(stack_exhausted), CASE(overlap),
	CASE(negative_size), CASE(leak), CASE(indirect_leak), CASE(signed_overflow), CASE(negation),
	CASE(shift_too_far), CASE(shift_negative), CASE(shift_of_sign), CASE(null_member),
	CASE(misaligned), CASE(index_out_of_bounds), CASE(divide_by_zero), CASE(unreachable),
	CASE(bool_value), CASE(vla_bound), CASE(pointer_overflow), CASE(null_argument),
};

int main(int argc, char **argv)
{
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (argc == 1)
			puts(cases[i].name);
		else if (!strcmp(argv[1], cases[i].name))
			cases[i].mistake();
	}
	return 0;
}
