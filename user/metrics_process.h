/* SPDX-License-Identifier: BSD-3-Clause */
/* metrics_process: this process as the usual exporters show it: process_*. */
#ifndef METRICS_PROCESS_H
#define METRICS_PROCESS_H

#include <stdio.h>

/* What /proc does not say is left out. */
void metrics_process(FILE *out);

#endif
