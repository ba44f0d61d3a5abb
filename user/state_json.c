/* SPDX-License-Identifier: BSD-3-Clause */
/* state_json: the rows of state.c as the JSON of /conn25/state. */
#include "addr.h"
#include "state.h"

#include <string.h>
#include <time.h>

const char *state_time(char buf[STATE_TIME_LEN], uint64_t boottime)
{
	struct timespec real, boot;
	struct tm tm;
	time_t t;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	t = real.tv_sec - boot.tv_sec + (time_t)boottime;
	gmtime_r(&t, &tm);
	strftime(buf, STATE_TIME_LEN, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

static void put_addr(cJSON *o, const char *name, const struct c25_addr *a)
{
	char text[ADDR_STRLEN];

	cJSON_AddStringToObject(o, name, addr_print(text, a));
}

/* null: never. */
static void put_time(cJSON *o, const char *name, uint64_t t)
{
	char text[STATE_TIME_LEN];

	if (t)
		cJSON_AddStringToObject(o, name, state_time(text, t));
	else
		cJSON_AddNullToObject(o, name);
}

static void put_traffic(cJSON *o, uint64_t packets, uint64_t bytes, uint64_t last_seen)
{
	cJSON_AddNumberToObject(o, "packets", (double)packets);
	cJSON_AddNumberToObject(o, "bytes", (double)bytes);
	put_time(o, "lastSeen", last_seen);
}

static cJSON *lease_json(const struct state_lease *l)
{
	cJSON *o = cJSON_CreateObject();

	put_addr(o, "destinationIP", &l->lease.real);
	put_addr(o, "magicIP", &l->magic);
	put_addr(o, "transitIP", &l->lease.transit);
	cJSON_AddStringToObject(o, "connector", l->connector);
	put_traffic(o, l->packets, l->bytes, l->last_seen);
	put_time(o, "expiresAt", l->lease.expires);
	if (l->flags & C25_MAGIC_DEAD)
		cJSON_AddBoolToObject(o, "refused", true);
	return o;
}

/* {"KEY": text, "LIST": []} appended to `array`; returns LIST. */
static cJSON *open_group(cJSON *array, const char *key, const char *text, const char *list)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, key, text);
	cJSON_AddItemToArray(array, o);
	return cJSON_AddArrayToObject(o, list);
}

cJSON *state_client_json(const struct state *s)
{
	cJSON *o = cJSON_CreateObject(), *apps = cJSON_AddArrayToObject(o, "apps");
	cJSON *domains = NULL, *addresses = NULL;

	for (size_t i = 0; i < s->n_leases; i++) {
		const struct state_lease *l = &s->leases[i], *before = i ? l - 1 : NULL;

		if (!before || strcmp(before->app, l->app) != 0)
			domains = open_group(apps, "app", l->app, "domains");
		if (!before || strcmp(before->app, l->app) != 0 ||
		    strcmp(before->lease.domain, l->lease.domain) != 0)
			addresses = open_group(domains, "domain", l->lease.domain, "addresses");
		cJSON_AddItemToArray(addresses, lease_json(l));
	}
	return o;
}

static cJSON *mapping_json(const struct state_mapping *m)
{
	cJSON *o = cJSON_CreateObject();

	put_addr(o, "destinationIP", &m->mapping.real);
	put_addr(o, "transitIP", &m->key.transit);
	put_traffic(o, m->packets, m->bytes, m->last_seen);
	return o;
}

cJSON *state_connector_json(const struct state *s)
{
	cJSON *o = cJSON_CreateObject(), *peers = cJSON_AddArrayToObject(o, "peers");
	cJSON *apps = NULL, *addresses = NULL;
	char client[ADDR_STRLEN];

	for (size_t i = 0; i < s->n_mappings; i++) {
		const struct state_mapping *m = &s->mappings[i], *before = i ? m - 1 : NULL;
		bool new_peer = !before || !addr_equal(&before->key.client, &m->key.client);

		if (new_peer)
			apps = open_group(peers, "clientIP", addr_print(client, &m->key.client),
					  "apps");
		if (new_peer || strcmp(before->app, m->app) != 0)
			addresses = open_group(apps, "app", m->app, "addresses");
		cJSON_AddItemToArray(addresses, mapping_json(m));
	}
	return o;
}

cJSON *state_reasons_json(const struct maps *maps)
{
	struct c25_count counts[C25_REASON_MAX];
	cJSON *o = cJSON_CreateObject();

	if (maps_reasons(maps, counts))
		return o;
	for (int i = 0; i < C25_REASON_MAX; i++) {
		cJSON *r;

		if (!counts[i].packets)
			continue;
		r = cJSON_AddObjectToObject(o, maps_reason_name((enum c25_reason)i));
		cJSON_AddNumberToObject(r, "packets", (double)counts[i].packets);
		cJSON_AddNumberToObject(r, "bytes", (double)counts[i].bytes);
	}
	return o;
}
