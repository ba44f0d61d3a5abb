/* SPDX-License-Identifier: BSD-3-Clause */
/* metrics_text: families and samples in Prometheus' text format; knows none of their names. */
#ifndef METRICS_TEXT_H
#define METRICS_TEXT_H

#include <stdint.h>
#include <stdio.h>

#define METRICS_COUNTER   "counter"
#define METRICS_GAUGE     "gauge"
#define METRICS_HISTOGRAM "histogram"
#define METRICS_SUMMARY   "summary"

/* # HELP and # TYPE; its samples come next and all together. */
void metrics_family(FILE *out, const char *name, const char *type, const char *help);

/* A sample without labels, or with one or two. */
void metrics_put(FILE *out, const char *name, uint64_t v);
void metrics_put1(FILE *out, const char *name, const char *label, const char *text, uint64_t v);
void metrics_put2(FILE *out, const char *name, const char *l1, const char *t1, const char *l2,
		  const char *t2, uint64_t v);
void metrics_put_seconds(FILE *out, const char *name, double v);

/* A family of one sample without labels. */
void metrics_one(FILE *out, const char *name, const char *type, const char *help, uint64_t v);

/* A label's value, escaped. */
void metrics_escape(FILE *out, const char *text);

#endif
