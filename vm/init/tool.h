/* SPDX-License-Identifier: GPL-2.0 */
/* tool.h - what the agent calls of tool.c; it returns an exit status. */
int tool_main(int argc, char **argv);
