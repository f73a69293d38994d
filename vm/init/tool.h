/* SPDX-License-Identifier: GPL-2.0 */
/* tool.h - what the agent calls of tool.c, net.c, link.c and program.c, and tool.c of netlink.c. */

/* Run `tool ...`; returns its exit status. */
int tool_main(int argc, char **argv);

/* Go into a named network namespace; -1 and errno where that fails. */
int enter_namespace(const char *name);

/* Remember how the network is set up, and hear of changes from here on. */
void watch_net(void);

/* Print what is set up of the network in all namespaces; nothing if it is as at watch_net(). */
void print_net(void);

/* Do the steps of `tool netlink`; returns its exit status. */
int netlink_main(int argc, char **argv);

/* Wait until a link is up and carries packets; -1 and errno where there is none. */
int link_ready(const char *link);

/* Let a link work out checksums and cut packets itself, or not; -1 and errno where that fails. */
int set_offloads(const char *link, unsigned int on);

/* Return what of that a link does, a bit for each. */
unsigned int get_offloads(const char *link);

/* Become a student's program: HOW CAPABILITY [NAME=VALUE]... /PATH [ARGUMENT]... */
int run_program(char **argv);

/* End all that is nobody's, and print what is left of it. */
int sweep(void);
void untouch_reports(void);

/* Print what a process has open. */
int print_open(const char *pid);

/* Print what sanitizers have reported. */
void print_reports(void);
