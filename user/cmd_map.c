/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_map: `conn25 map`, straight from the pinned maps, so that it answers with the daemon dead. */
#include "cmd.h"
#include "cmd_map_read.h"
#include "datapath.h"
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct settings {
	const char *pin;
	bool json;
};

OPTION_SETTER(set_pin, struct settings, t->pin = value)
OPTION_SETTER(set_json, struct settings, t->json = true)

static const struct option_def options[] = {
	{ "json", NULL, "one object with an array for each part", set_json, 0 },
	{ "pin", "DIR", "where the maps are pinned [" DATAPATH_PIN "]", set_pin, 0 },
};

static const struct command_def def = {
	.usage = "conn25 map [client|connector|flows] [--json] [--pin DIR]",
	.text = "Shows the mappings the kernel holds, whether or not the daemon runs:\n"
		"  client     names, their real, magic and transit addresses and connectors\n"
		"  connector  what each client has mapped here, with traffic of living flows\n"
		"  flows      connections translated here at this moment\n"
		"Without an argument: all that this node's roles have.\n"
		"Exit status: 0 done; 1 nothing pinned or not readable; 2 wrong usage.",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.max_args = 1,
};

static const struct part {
	const char *name;
	const char *role;
	enum map_id map; /* not pinned where the node lacks the role */
	const struct table_column *columns;
	const size_t *n_columns;
	void (*row)(size_t i, struct table_cell *cells, void *view);
} parts[] = {
	{ "client", "client", MAP_LEASES, view_client_columns, &view_client_n, view_client_row },
	{ "connector", "connector", MAP_MAPPINGS, view_mapping_columns, &view_mapping_n,
	  view_mapping_row },
	{ "flows", "connector", MAP_FLOWS, view_flow_columns, &view_flow_n, view_flow_row },
};

static int complain(int err, const char *pin)
{
	switch (-err) {
	case ENOENT:
		fprintf(stderr,
			"conn25 map: nothing is pinned in %s; start `conn25 run`, or name its "
			"directory with --pin\n",
			pin);
		break;
	case EUCLEAN:
		fprintf(stderr,
			"conn25 map: the maps in %s are of another version of conn25; use that "
			"one's `map`, or `conn25 detach --pin %s`\n",
			pin, pin);
		break;
	case EPERM:
	case EACCES:
		fprintf(stderr, "conn25 map: not permitted to read %s; run as root\n", pin);
		break;
	default:
		fprintf(stderr, "conn25 map: read the maps in %s: %s\n", pin, strerror(-err));
	}
	return EXIT_FAULT;
}

static size_t rows_of(const struct view *v, const struct part *p)
{
	return p->map == MAP_LEASES ? v->state->n_leases + v->state->n_resting :
	       p->map == MAP_FLOWS  ? v->n_flows :
				      v->state->n_mappings;
}

static int print_part(const struct view *v, const struct part *p, bool json, bool first)
{
	struct table t = {
		.columns = p->columns,
		.n_columns = *p->n_columns,
		.n_rows = rows_of(v, p),
		.row = p->row,
		.ctx = (void *)v,
	};

	table_set_now(&t);
	if (json) {
		printf("%s\"%s\":", first ? "{\n" : ",\n", p->name);
		return table_print_json(stdout, &t);
	}
	printf("%s%s: %zu\n", first ? "" : "\n", p->name, t.n_rows);
	if (t.n_rows)
		table_print(stdout, &t);
	return 0;
}

/* `only`: one part, or NULL for all of them. In JSON every part asked for is there. */
static int print_parts(const struct view *v, const struct part *only, bool json)
{
	bool first = true;
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && !err; i++) {
		const struct part *p = &parts[i];

		if (only ? p != only : !json && v->maps->fd[p->map] < 0)
			continue;
		err = print_part(v, p, json, first);
		first = false;
	}
	if (json)
		puts("\n}");
	return err;
}

static int map(const struct part *only, bool json, const char *pin)
{
	struct view v = { 0 };
	struct maps m;
	int err;

	err = maps_open(&m, pin);
	if (err)
		return complain(err, pin);
	if (only && m.fd[only->map] < 0) {
		maps_close(&m);
		fprintf(stderr, "conn25 map: this node is no %s: %s/maps has no %s\n", only->role,
			pin, maps_name(only->map));
		return EXIT_FAULT;
	}
	v.maps = &m;
	err = view_read(&v);
	if (!err)
		err = print_parts(&v, only, json);
	view_free(&v);
	maps_close(&m);
	if (err)
		return complain(err, pin);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "conn25 map: cannot write: %s\n", strerror(errno));
		return EXIT_FAULT;
	}
	return 0;
}

static int find_part(const struct part **out, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (strcmp(parts[i].name, name) != 0)
			continue;
		*out = &parts[i];
		return 0;
	}
	return -EINVAL;
}

int cmd_map(int argc, char **argv)
{
	struct settings s = { .pin = DATAPATH_PIN };
	const struct part *only = NULL;
	const char *args[2];

	switch (options_parse(&def, &s, argc, argv, args)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_ERROR:
		return EXIT_USAGE;
	case OPTIONS_OK:
		break;
	}
	if (args[0] && find_part(&only, args[0])) {
		fprintf(stderr, "conn25 map: there is no part \"%s\"; see conn25 map --help\n",
			args[0]);
		return EXIT_USAGE;
	}
	return map(only, s.json, s.pin);
}
