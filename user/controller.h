/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * controller: the order of it all; the only file that knows the stages.
 *
 * Data goes one way: netmap, overlay, datapath, peers, roles. A start and a reload walk the same
 * stages, each of which changes only what differs.
 */
#ifndef CONTROLLER_H
#define CONTROLLER_H

#include "config.h"

/* Runs until SIGTERM or SIGINT: 0. A negative errno, logged, if it could not start. */
int controller_run(const struct config *config);

#endif
