/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd: the commands, one a file. Each gets its name as argv[0] and returns the exit status:
 * 0 done, 1 a fault of the input or the system, 2 wrong usage.
 */
#ifndef CMD_H
#define CMD_H

int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_monitor(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
