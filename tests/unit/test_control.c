/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include "leaks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

SUITE(control);

static char path[64];
static uv_loop_t loop;
static struct control *control;
static struct events *events;
static uv_async_t wake;
static sem_t begun, go;
static int at_once, most, opened, got;

static void *state_open(void *ctx)
{
	opened++;
	return strdup("{}");
}

static char *state_print(void *job)
{
	int n = __atomic_add_fetch(&at_once, 1, __ATOMIC_SEQ_CST);

	if (n > most)
		most = n;
	sem_post(&begun);
	sem_wait(&go);
	__atomic_sub_fetch(&at_once, 1, __ATOMIC_SEQ_CST);
	return job;
}

static char *explain(void *ctx, const char *subject)
{
	return strdup("explained");
}

static const struct control_ops ops = { state_open, state_print, explain };

static void on_wake(uv_async_t *a)
{
	uv_stop(a->loop);
}

static void start(void)
{
	snprintf(path, sizeof(path), "/tmp/c25-control-%d", getpid());
	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	uv_loop_init(&loop);
	uv_async_init(&loop, &wake, on_wake);
	cr_assert_eq(events_new(&events), 0);
	cr_assert_eq(control_new(&control, &loop, path, &ops, events, NULL), 0);
}

static void finish(void)
{
	if (control)
		control_free(control);
	uv_close((uv_handle_t *)&wake, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&loop), 0);
	events_free(events);
	cr_assert_neq(access(path, F_OK), 0);
}

static void *ask_state(void *arg)
{
	char *text = NULL;

	if (!control_get(&text, path, "/conn25/state") && !strcmp(text, "{}"))
		__atomic_add_fetch(&got, 1, __ATOMIC_SEQ_CST);
	free(text);
	return NULL;
}

static void *ask_both(void *arg)
{
	pthread_t asking[3];
	char *text = NULL;

	for (int i = 0; i < 3; i++)
		pthread_create(&asking[i], NULL, ask_state, NULL);
	sem_wait(&begun);
	if (!control_get(&text, path, "/conn25/explain?q=x") && !strcmp(text, "explained"))
		__atomic_add_fetch(&got, 10, __ATOMIC_SEQ_CST);
	free(text);
	for (int i = 0; i < 3; i++)
		sem_post(&go);
	for (int i = 0; i < 3; i++)
		pthread_join(asking[i], NULL);
	uv_async_send(&wake);
	return NULL;
}

Test(control, the_loop_goes_on_while_the_state_is_read_one_at_a_time, .timeout = 20)
{
	pthread_t asking;

	start();
	pthread_create(&asking, NULL, ask_both, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	pthread_join(asking, NULL);
	cr_assert_eq(got, 13);
	cr_assert_eq(opened, 3);
	cr_assert_eq(most, 1);
	finish();
}

static void *stop_when_begun(void *arg)
{
	sem_wait(&begun);
	uv_async_send(&wake);
	return NULL;
}

Test(control, it_may_be_freed_while_the_state_is_read, .timeout = 20)
{
	pthread_t asking, other, stopping;

	start();
	pthread_create(&asking, NULL, ask_state, NULL);
	pthread_create(&other, NULL, ask_state, NULL);
	pthread_create(&stopping, NULL, stop_when_begun, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	control_free(control);
	control = NULL;
	sem_post(&go);
	finish();
	pthread_join(asking, NULL);
	pthread_join(other, NULL);
	pthread_join(stopping, NULL);
	cr_assert_leq(opened, 1);
}
