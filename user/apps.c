/* SPDX-License-Identifier: BSD-3-Clause */
#include "apps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct app {
	uint32_t id;
	UT_hash_handle by_name, by_id;
	char name[C25_NAME_LEN];
};

struct apps {
	const struct maps *maps;
	struct app *by_name;
	struct app *by_id;
	uint32_t next;
};

static struct app *app_add(struct apps *a, uint32_t id, const char *name)
{
	struct app *app = calloc(1, sizeof(*app));

	if (!app)
		return NULL;
	app->id = id;
	strncpy(app->name, name, sizeof(app->name) - 1);
	HASH_ADD(by_id, a->by_id, id, sizeof(app->id), app);
	HASH_ADD_KEYPTR(by_name, a->by_name, app->name, strlen(app->name), app);
	if (id >= a->next)
		a->next = id + 1;
	return app;
}

static int restore(const void *key, const void *value, void *ctx)
{
	const struct c25_app *record = value;

	return app_add(ctx, *(const uint32_t *)key, record->name) ? 0 : -ENOMEM;
}

int apps_new(struct apps **out, const struct maps *maps)
{
	_cleanup_(apps) struct apps *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->maps = maps;
	err = maps_each(maps, MAP_APPS, restore, a);
	if (err)
		return err;
	*out = TAKE_PTR(a);
	return 0;
}

void apps_free(struct apps *a)
{
	struct app *app, *next;

	HASH_CLEAR(by_name, a->by_name);
	HASH_ITER (by_id, a->by_id, app, next) {
		HASH_DELETE(by_id, a->by_id, app);
		free(app);
	}
	free(a);
}

int apps_id(struct apps *a, const char *name, uint32_t *out)
{
	struct app *app;
	int err;

	HASH_FIND(by_name, a->by_name, name, strlen(name), app);
	if (!app) {
		if (a->next >= C25_MAX_APPS)
			return -ENOSPC;
		err = maps_app_put(a->maps, a->next, name);
		if (err)
			return err;
		app = app_add(a, a->next, name);
		if (!app)
			return -ENOMEM;
	}
	*out = app->id;
	return 0;
}

const char *apps_name(const struct apps *a, uint32_t id)
{
	struct app *app;

	HASH_FIND(by_id, a->by_id, &id, sizeof(id), app);
	return app ? app->name : NULL;
}
