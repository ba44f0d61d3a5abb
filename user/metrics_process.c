/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics_process.h"

#include "cleanup.h"
#include "metrics_text.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

DEFINE_CLEANUP(dir, DIR *, closedir)

/* proc(5): fields 14, 15, 20, 22, 23 and 24 of /proc/self/stat. */
struct self {
	uint64_t user, system, threads, started, virtual, resident; /* ticks, bytes, pages */
};

static int read_self(struct self *s)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/stat", "re");
	char line[1024];
	const char *at;

	if (!f || !fgets(line, sizeof(line), f))
		return -1;
	at = strrchr(line, ')'); /* the name before may hold anything */
	if (!at ||
	    sscanf(at + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
		   " %*d %*d %*d %*d %" SCNu64 " %*d %" SCNu64 " %" SCNu64 " %" SCNu64,
		   &s->user, &s->system, &s->threads, &s->started, &s->virtual, &s->resident) != 6)
		return -1;
	return 0;
}

/* Seconds since 1970. */
static uint64_t boot_time(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/stat", "re");
	uint64_t at = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "btime %" SCNu64, &at) == 1)
			return at;
	return 0;
}

static uint64_t count_fds(void)
{
	_cleanup_(dir) DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	uint64_t n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	return n ? n - 1 : 0; /* not the one that looks */
}

void metrics_process(FILE *out)
{
	double ticks = (double)sysconf(_SC_CLK_TCK);
	uint64_t booted = boot_time();
	struct rlimit files;
	struct self s;

	if (!read_self(&s)) {
		metrics_family(out, "process_cpu_seconds_total", METRICS_COUNTER,
			       "Total user and system CPU time spent in seconds.");
		metrics_put_seconds(out, "process_cpu_seconds_total",
				    (double)(s.user + s.system) / ticks);
		metrics_one(out, "process_resident_memory_bytes", METRICS_GAUGE,
			    "Resident memory size in bytes.",
			    s.resident * (uint64_t)sysconf(_SC_PAGESIZE));
		metrics_one(out, "process_virtual_memory_bytes", METRICS_GAUGE,
			    "Virtual memory size in bytes.", s.virtual);
		metrics_one(out, "process_threads", METRICS_GAUGE,
			    "Number of OS threads in the process.", s.threads);
		if (booted) {
			metrics_family(out, "process_start_time_seconds", METRICS_GAUGE,
				       "Start time of the process since unix epoch in seconds.");
			metrics_put_seconds(out, "process_start_time_seconds",
					    (double)booted + (double)s.started / ticks);
		}
	}
	metrics_one(out, "process_open_fds", METRICS_GAUGE, "Number of open file descriptors.",
		    count_fds());
	if (!getrlimit(RLIMIT_NOFILE, &files))
		metrics_one(out, "process_max_fds", METRICS_GAUGE,
			    "Maximum number of open file descriptors.", files.rlim_cur);
}
