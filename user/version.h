/* SPDX-License-Identifier: BSD-3-Clause */
/* version: what this build calls itself. */
#ifndef VERSION_H
#define VERSION_H

#define CONN25_VERSION "0.1.0"

#endif
